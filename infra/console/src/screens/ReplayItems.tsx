// The requests of a replay job and how each has ended.

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { get, type Problem } from "../api/http";
import { type Page, wordOf } from "../api/model";
import { count, duration, shortId } from "../ui/format";
import { Empty, ErrorNote, OriginLabel } from "../ui/parts";
import { VirtualRows } from "../ui/VirtualRows";
import { Original } from "./PlanView";
import { type JobItem, matchesOutcome, outcomesOf } from "./replayModel";

const STATES = ["planned", "published", "refused", "present", "taken", "changed", "undone"];

export function Items({ id, counts }: { id: string; counts: Record<string, number> }) {
  const navigate = useNavigate();
  const [state, setState] = useState<string | null>(null);
  const [outcome, setOutcome] = useState<string | null>(null);
  const list = useInfiniteQuery<Page<JobItem>, Problem>({
    queryKey: ["replay-items", id, state],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get<Page<JobItem>>(
        `/api/v1/replays/${id}/items`,
        { limit: 500, state, cursor: pageParam as string },
        signal,
      ),
    getNextPageParam: (page) => page.next ?? undefined,
    retry: false,
  });
  const loaded = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const outcomes = useMemo(() => outcomesOf(loaded), [loaded]);
  const rows = useMemo(() => loaded.filter((item) => matchesOutcome(item, outcome)), [loaded, outcome]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  // The gateway filters by state alone: those of an outcome are looked for in all pages.
  useEffect(() => {
    if (outcome !== null) more();
  }, [outcome, more]);
  return (
    <section className="card replay-items" aria-label="Requests of the job">
      <div className="card-head">
        <h2>Requests</h2>
        <span className="card-actions">
          {outcomes.length > 1 && (
            <fieldset className="quick">
              <legend className="hidden">Outcome</legend>
              {outcomes.map(([origin, number]) => (
                <button
                  key={origin}
                  type="button"
                  aria-pressed={outcome === origin}
                  onClick={() => setOutcome(outcome === origin ? null : origin)}
                >
                  {wordOf(origin === "" ? null : origin)} {count(number)}
                </button>
              ))}
            </fieldset>
          )}
          <fieldset className="quick">
            <legend className="hidden">State</legend>
            <button type="button" aria-pressed={state === null} onClick={() => setState(null)}>
              all
            </button>
            {STATES.filter((each) => (counts[each] ?? 0) > 0).map((each) => (
              <button key={each} type="button" aria-pressed={state === each} onClick={() => setState(each)}>
                {each} {count(counts[each] ?? 0)}
              </button>
            ))}
          </fieldset>
        </span>
      </div>
      {list.error && <ErrorNote error={list.error} />}
      {list.data && rows.length === 0 && !hasNextPage && <Empty title="No request is in this state" />}
      {rows.length > 0 && (
        <VirtualRows
          label="Requests of the job"
          rows={rows}
          keyOf={(row) => String(row.position)}
          onOpen={(row) =>
            void navigate({
              to: "/requests/$id",
              params: { id: isPublished(row) ? row.request_id : (row.replay_of ?? row.request_id) },
            })
          }
          onNearEnd={more}
          height="max(240px, calc(100vh - 440px))"
          header={
            <div role="row" className="item-row">
              <span role="columnheader">State</span>
              <span role="columnheader">Kind</span>
              <span role="columnheader">Repeats</span>
              <span role="columnheader">Request</span>
              <span role="columnheader">Outcome</span>
              <span role="columnheader">Why</span>
              <span role="columnheader" className="num">
                Tokens
              </span>
              <span role="columnheader" className="num">
                Took
              </span>
              <span role="columnheader">
                <span className="hidden">Compare</span>
              </span>
            </div>
          }
        >
          {(row) => <Row row={row} />}
        </VirtualRows>
      )}
    </section>
  );
}

const isPublished = (row: JobItem): boolean => row.state === "published" || row.state === "undone";

function Row({ row }: { row: JobItem }) {
  const tokens = row.outcome && (row.outcome.prompt_tokens ?? 0) + (row.outcome.completion_tokens ?? 0);
  return (
    <div className="item-row">
      <span role="cell" className={row.state === "refused" ? "nothing" : ""}>
        {row.state}
      </span>
      <span role="cell">{row.kind}</span>
      <span role="cell" className="mono cut">
        <Original item={row} letters />
      </span>
      <span role="cell" className="mono cut">
        {isPublished(row) ? (
          <Link className="link" to="/requests/$id" params={{ id: row.request_id }}>
            {shortId(row.request_id)}
          </Link>
        ) : (
          <span className="faint">{shortId(row.request_id)}</span>
        )}
      </span>
      <span role="cell">
        {row.outcome ? (
          <OriginLabel origin={row.outcome.origin} />
        ) : (
          <span className="faint">{isPublished(row) ? "running" : "–"}</span>
        )}
      </span>
      <span role="cell" className="cut dim" title={row.reason ?? undefined}>
        {(row.code ?? row.outcome?.code) && <code>{row.code ?? row.outcome?.code}</code>} {row.reason}
        {row.cached && <span className="cache"> from the cache</span>}
      </span>
      <span role="cell" className="num">
        {tokens ? count(tokens) : "–"}
      </span>
      <span role="cell" className="num">
        {duration(row.outcome?.latency_ms)}
      </span>
      <span role="cell">
        {row.replay_of && row.outcome && (
          <Link className="link" to="/compare" search={{ a: row.replay_of, b: row.request_id }}>
            compare
          </Link>
        )}
      </span>
    </div>
  );
}
