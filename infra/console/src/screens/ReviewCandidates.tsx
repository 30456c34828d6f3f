// Results that are good enough for golden samples, samples that are not, and the promotion of one.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { get, type Problem, post } from "../api/http";
import { count } from "../ui/format";
import { Command, ErrorNote } from "../ui/parts";
import { shell } from "./filter";
import type { Candidates, PromotedSample } from "./reviewModel";

export function ReviewCandidates() {
  const list = useQuery<Candidates, Problem>({
    queryKey: ["reviews", "candidates"],
    queryFn: ({ signal }) => get<Candidates>("/api/v1/reviews/candidates", undefined, signal),
    retry: false,
  });
  if (list.error) return <ErrorNote error={list.error} retry={() => void list.refetch()} />;
  if (!list.data) return null;
  const { candidates, doubtful } = list.data;
  return (
    <section className="card review-card" aria-label="Golden samples">
      <div className="card-head">
        <h2>Golden samples</h2>
        <Command text="understudy review candidates" />
      </div>
      {candidates.length === 0 && doubtful.length === 0 && (
        <p className="card-body dim">
          No reviewed result is good enough yet, and no golden sample is scored badly.
        </p>
      )}
      {candidates.map((each) => (
        <div key={each.request_id} className="card-body review-candidate">
          <p>
            <Link className="mono link" to="/requests/$id" params={{ id: each.request_id }}>
              {each.request_id}
            </Link>{" "}
            mean score <b>{each.mean_score.toFixed(2)}</b>, reviewers {count(each.reviewers)}, {each.kind},{" "}
            {each.rating}, by {each.writer}. Golden samples of that kind and rating: {count(each.samples)}.
          </p>
          <Promote id={each.request_id} />
        </div>
      ))}
      {doubtful.map((each) => (
        <p key={each.name} className="card-body nothing">
          <b>{each.name}</b> would not be promoted any more: {each.reason}.
        </p>
      ))}
    </section>
  );
}

/** A promotion: first what it would write, or every reason against it; then the files. */
export function Promote({ id }: { id: string }) {
  const queries = useQueryClient();
  const order = (dry_run: boolean) =>
    post<PromotedSample>("/api/v1/reviews/promote", { request_id: id, dry_run });
  const check = useMutation<PromotedSample, Problem, void>({ mutationFn: () => order(true) });
  const promote = useMutation<PromotedSample, Problem, void>({
    mutationFn: () => order(false),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["reviews", "candidates"] }),
  });
  const asked = check.data;
  const done = promote.data;
  const command = <Command text={`understudy review promote ${shell(id)}`} />;
  if (done) {
    return (
      <p role="status">
        <b>{done.name}</b> is in {done.folder}; {done.next}.
      </p>
    );
  }
  return (
    <>
      {(promote.error ?? check.error) && <ErrorNote error={promote.error ?? check.error} />}
      {asked && (
        <p>
          It becomes <b>{asked.name}</b> in {asked.folder}, rated {asked.rating}
          {asked.tags.length > 0 && `, with the tags ${asked.tags.join(", ")}`}, and stands in for others:
          read it for names first.
        </p>
      )}
      <div className="review-keys">
        {asked ? (
          <>
            <button
              type="button"
              className="button main"
              disabled={promote.isPending}
              onClick={() => promote.mutate()}
            >
              Promote {id} now
            </button>
            <button type="button" className="button" onClick={() => check.reset()}>
              Leave it
            </button>
          </>
        ) : (
          <button type="button" className="button" disabled={check.isPending} onClick={() => check.mutate()}>
            Promote {id}
          </button>
        )}
        {command}
      </div>
    </>
  );
}
