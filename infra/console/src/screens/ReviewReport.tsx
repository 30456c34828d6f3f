// The report of reviews: the verdict, the groups, and how far reviewers agree.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, type Problem } from "../api/http";
import { count } from "../ui/format";
import { Command, ErrorNote } from "../ui/parts";
import { BY, type By, goodOf, type Report } from "./reviewModel";

export function ReviewReport() {
  const [by, setBy] = useState<By>("prompt_version");
  const report = useQuery<Report, Problem>({
    queryKey: ["reviews", "report", by],
    queryFn: ({ signal }) => get<Report>("/api/v1/reviews/report", { by }, signal),
    retry: false,
    placeholderData: (before) => before,
  });
  const found = report.data;
  return (
    <section className="card review-card" aria-label="Report">
      <div className="card-head">
        <h2>What the scores say</h2>
        <fieldset className="quick">
          <legend className="hidden">By</legend>
          {BY.map((each) => (
            <button key={each} type="button" aria-pressed={each === by} onClick={() => setBy(each)}>
              {each.replace("_", " ")}
            </button>
          ))}
        </fieldset>
      </div>
      {report.error && <ErrorNote error={report.error} retry={() => void report.refetch()} />}
      {found && (
        <>
          <div className="card-body">
            <p className="review-verdict">{found.sentence}</p>
            <p>{found.agreement.sentence}</p>
            {found.judge.results > 0 && <p>{found.judge.sentence}</p>}
            <p className="faint">
              Scores: {count(found.scores)}. Results: {count(found.results)}. Reviewers:{" "}
              {count(found.reviewers)}. Intervals are of 95 %. Nothing is called better below {found.least}{" "}
              results.
              {found.revealed > 0 &&
                ` Scored once more after the writer had been shown: ${count(found.revealed)}.`}
              {found.cut && " There are more scores; these are the latest."}
            </p>
          </div>
          {found.groups.length > 0 && (
            <div className="scroll" tabIndex={0} role="group" aria-label="Groups">
              <GroupTable found={found} by={by} />
            </div>
          )}
          <div className="card-body">
            <Command text={`understudy review report --by ${by}`} />
          </div>
        </>
      )}
    </section>
  );
}

function GroupTable({ found, by }: { found: Report; by: By }) {
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">{by.replace("_", " ")}</th>
          {["Results", "Scores", "Mean", "Good (4 and 5)", "Pairs won : lost : tied"].map((title) => (
            <th key={title} scope="col" className="num">
              {title}
            </th>
          ))}
          <th scope="col">Tags</th>
        </tr>
      </thead>
      <tbody>
        {found.groups.map((group) => (
          <tr key={group.name}>
            <th scope="row">{group.name}</th>
            <td className="num">{count(group.results)}</td>
            <td className="num">{count(group.scores)}</td>
            <td className="num">{group.mean.toFixed(2)}</td>
            <td className="num">{goodOf(group)}</td>
            <td className="num">
              {group.won} : {group.lost} : {group.tied}
            </td>
            <td>
              {group.tags
                .slice(0, 4)
                .map(([tag, number]) => `${tag} ${number}`)
                .join(", ")}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
