// The replay desk and its jobs.

import { useQueries, useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { get, type Problem } from "../api/http";
import type { Page } from "../api/model";
import { count, duration } from "../ui/format";
import { Copy, Empty, ErrorNote, Time } from "../ui/parts";
import { Bar } from "./Bar";
import { Desk } from "./Desk";
import { isMoving, type Job, STATE_ACCENT } from "./replayModel";
import "./requests.css";
import "./board.css";
import "./nodes/nodes.css";
import "./replays.css";

/** Jobs whose progress is shown. */
const DRAWN = 15;

export function Replays() {
  const search = useSearch({ from: "/replays" });
  return (
    <>
      <div className="page-head">
        <h1>Replays</h1>
      </div>
      {/* Another edit is another order. */}
      <Desk key={search.patch ?? ""} />
      <Jobs />
    </>
  );
}

function Jobs() {
  const [plans, setPlans] = useState(false);
  const jobs = useQuery<Page<Job>, Problem>({
    queryKey: ["replays"],
    queryFn: ({ signal }) => get<Page<Job>>("/api/v1/replays", { limit: 200 }, signal),
    refetchInterval: (query) =>
      query.state.data?.items.some((job) => job.state === "running") ? 2000 : 10_000,
    retry: false,
  });
  const all = jobs.data?.items ?? [];
  const begun = all.filter((job) => job.state !== "planned" && job.state !== "planning");
  const rows = plans ? all : begun;
  // The list has no counts.
  const details = useQueries({
    queries: rows.slice(0, DRAWN).map((job) => ({
      queryKey: ["replay", String(job.job)],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get<Job>(`/api/v1/replays/${job.job}`, undefined, signal),
      refetchInterval: (query: { state: { data?: Job | undefined } }) =>
        query.state.data !== undefined && isMoving(query.state.data) ? 2000 : (false as const),
      retry: false,
    })),
  });
  return (
    <section className="card jobs" aria-label="Jobs">
      <div className="card-head">
        <h2>Jobs</h2>
        <span className="faint">newest first</span>
        <span className="card-actions">
          {all.length > begun.length && (
            <button
              type="button"
              className="button quiet"
              aria-pressed={plans}
              onClick={() => setPlans(!plans)}
            >
              {plans ? "Hide plans" : "Show plans that have not begun"}
            </button>
          )}
          <Copy text="understudy replay ls">Copy as command</Copy>
        </span>
      </div>
      {jobs.error && <ErrorNote error={jobs.error} />}
      {jobs.data && rows.length === 0 && (
        <Empty
          title="Nothing was replayed yet"
          command="understudy replay --status fail_fallback --since 1h --dry-run"
        />
      )}
      {rows.length > 0 && (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th className="num">Job</th>
                <th>State</th>
                <th>Made</th>
                <th>What</th>
                <th>Progress</th>
                <th className="num">Tokens</th>
                <th className="num">Took</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((job, index) => (
                <Row key={job.job} job={job} detail={details[index]?.data} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ job, detail }: { job: Job; detail: Job | undefined }) {
  const spent = detail?.spent?.tokens;
  const end = job.ended_ms ?? Date.now();
  return (
    <tr>
      <td className="num">
        <Link className="link" to="/replays/$job" params={{ job: String(job.job) }}>
          {job.job}
        </Link>
      </td>
      <td>
        <span className={`origin ${STATE_ACCENT[job.state]}`}>{job.state}</span>
      </td>
      <td>
        <Time at={job.created_ms} />
      </td>
      <td>
        <code>{job.source}</code>
        {job.note && <div className="faint">{job.note}</div>}
      </td>
      <td className="job-bar">{detail && <Bar job={detail} />}</td>
      <td className="num">
        {spent === undefined || spent === 0 ? (
          <span className="faint" title="expected">
            ~{count(Math.round(job.estimate.tokens.likely))}
          </span>
        ) : (
          count(spent)
        )}
      </td>
      <td className="num">{job.started_ms === null ? "–" : duration(end - job.started_ms)}</td>
    </tr>
  );
}
