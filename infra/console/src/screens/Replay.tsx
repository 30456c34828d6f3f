// One replay job: how far it is, what it spent, how each request ended; pause, resume, stop and undo.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { get, type Problem, post } from "../api/http";
import { refresh } from "../api/refresh";
import { readEvents } from "../api/sse";
import { count, duration } from "../ui/format";
import { Command, ErrorNote } from "../ui/parts";
import { Bar } from "./Bar";
import { Items } from "./ReplayItems";
import { isMoving, type Job, progressOf, STATE_ACCENT, type UndoReport } from "./replayModel";
import "./requests.css";
import "./board.css";
import "./replays.css";

/** Milliseconds until the events are read again when they end before the job does. */
const RETRY_MS = 1000;
/** Milliseconds between two looks for results that are still to come. */
const OPEN_MS = 2000;

/** A job, kept up to date by its own events while it has some. */
function useJob(id: string) {
  const queries = useQueryClient();
  const job = useQuery<Job, Problem>({
    queryKey: ["replay", id],
    queryFn: ({ signal }) => get<Job>(`/api/v1/replays/${id}`, undefined, signal),
    // The events end when all is published; results come later.
    refetchInterval: ({ state }) => (state.data !== undefined && isMoving(state.data) ? OPEN_MS : false),
    retry: false,
  });
  const state = job.data?.state;
  const has = state === "running" || state === "planning" || state === "paused";
  useEffect(() => {
    if (!has) return;
    const stop = new AbortController();
    const follow = async () => {
      while (!stop.signal.aborted) {
        await readEvents(
          `/api/v1/replays/${id}/events`,
          (news) => {
            queries.setQueryData<Job>(["replay", id], news as unknown as Job);
          },
          stop.signal,
        ).catch(() => undefined); // the shell says that the gateway is away
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    };
    void follow();
    return () => stop.abort();
  }, [has, id, queries]);
  // Rows change with the counts.
  const counts = JSON.stringify([job.data?.counts, job.data?.spent]);
  useEffect(() => {
    if (counts !== "") void refresh(queries, ["replay-items", id]);
  }, [counts, id, queries]);
  return job;
}

export function Replay() {
  const { job: id } = useParams({ from: "/replays/$job" });
  const queries = useQueryClient();
  const job = useJob(id);
  const [error, setError] = useState<unknown>(null);
  const [undo, setUndo] = useState<UndoReport | null>(null);
  const [busy, setBusy] = useState(false);
  const state = job.data?.state;
  const ask = <T,>(verb: string, body: unknown, then: (found: T) => void) => {
    setError(null);
    setBusy(true);
    post<T>(`/api/v1/replays/${id}/${verb}`, body)
      .then(then, setError)
      .finally(() => {
        setBusy(false);
        void queries.invalidateQueries({ queryKey: ["replay", id] });
        void queries.invalidateQueries({ queryKey: ["replays"] });
      });
  };
  const act = (verb: "pause" | "resume" | "stop") =>
    ask<Job>(verb, verb === "resume" ? {} : undefined, (found) =>
      queries.setQueryData(["replay", id], found),
    );
  const found = job.data;
  const verbs = {
    resume: state === "planned" || state === "paused",
    pause: state === "running",
    stop: state === "running" || state === "paused",
    undo: state === "done" || state === "stopped" || state === "paused",
  };
  return (
    <>
      <div className="page-head">
        <h1>Replay {id}</h1>
        {found && <span className={`origin ${STATE_ACCENT[found.state]}`}>{found.state}</span>}
        <div className="grow" />
        {verbs.resume && (
          <button type="button" className="button main" disabled={busy} onClick={() => act("resume")}>
            {state === "planned" ? "Start" : "Resume"}
          </button>
        )}
        {verbs.pause && (
          <button type="button" className="button" disabled={busy} onClick={() => act("pause")}>
            Pause
          </button>
        )}
        {verbs.stop && (
          <button type="button" className="button danger" disabled={busy} onClick={() => act("stop")}>
            Stop
          </button>
        )}
        {verbs.undo && (
          <button
            type="button"
            className="button danger"
            disabled={busy}
            onClick={() => ask<UndoReport>("undo", { dry_run: true }, setUndo)}
          >
            Undo…
          </button>
        )}
      </div>
      {job.error && <ErrorNote error={job.error} />}
      {error !== null && <ErrorNote error={error} />}
      {undo !== null && (
        <Undo
          report={undo}
          busy={busy}
          onYes={() => ask<UndoReport>("undo", { dry_run: false }, setUndo)}
          onNo={() => setUndo(null)}
        />
      )}
      {found && (
        <>
          <Progress job={found} />
          <Items id={id} counts={found.counts ?? {}} />
          <p className="commands">
            <Command text={`understudy replay show ${id}`} />
            {(["resume", "pause", "stop"] as const)
              .filter((verb) => verbs[verb])
              .map((verb) => (
                <Command key={verb} text={`understudy replay ${verb} ${id}`} />
              ))}
            {verbs.undo && <Command text={`understudy replay undo ${id} --dry-run`} />}
          </p>
        </>
      )}
    </>
  );
}

function Undo({
  report,
  busy,
  onYes,
  onNo,
}: {
  report: UndoReport;
  busy: boolean;
  onYes: () => void;
  onNo: () => void;
}) {
  const done = !report.dry_run;
  const lines: [number, string][] = [
    [report.undone, "requests undone"],
    [report.cancelled, "of them cancelled before they had a result"],
    [report.restored, "earlier results published again"],
    [report.uncached, "cache entries removed"],
    [report.put_back, "of them replaced by the entry before"],
  ];
  return (
    <section className="note warn undo" aria-label={done ? "Undone" : "What an undo would do"} role="status">
      <strong>{done ? "Undone" : "What an undo would do"}</strong>
      <ul className="undo-lines">
        {lines
          .filter(([number], index) => index === 0 || number > 0)
          .map(([number, words]) => (
            <li key={words}>
              <span className="num">{count(number)}</span> {words}
            </li>
          ))}
      </ul>
      {report.cannot.length > 0 && (
        <>
          <span className="standin">{done ? "Not undone:" : "What cannot be undone:"}</span>
          <ul>
            {report.cannot.slice(0, 10).map((line) => (
              <li key={line} className="dim">
                {line}
              </li>
            ))}
            {report.cannot.length > 10 && (
              <li className="faint">and {count(report.cannot.length - 10)} more</li>
            )}
          </ul>
        </>
      )}
      <span className="desk-actions">
        {!done && (
          <button type="button" className="button main" disabled={busy} onClick={onYes}>
            Undo {count(report.undone)}
          </button>
        )}
        <button type="button" className="button" onClick={onNo}>
          {done ? "Close" : "Leave it"}
        </button>
      </span>
    </section>
  );
}

function Progress({ job }: { job: Job }) {
  const { done, all } = progressOf(job.counts);
  const spent = job.spent;
  const took = job.started_ms === null ? null : (job.ended_ms ?? Date.now()) - job.started_ms;
  const { budget_tokens, budget_money, rate } = job.limits;
  const expected = job.estimate;
  const money = spent?.money ?? 0;
  const cells: [string, string, string][] = [
    ["Published", count(done), `of ${count(all)}`],
    ["Ended", count(spent?.ended ?? 0), ""],
    [
      "Refused",
      count(job.counts?.refused ?? 0),
      (job.counts?.present ?? 0) > 0 ? `${count(job.counts?.present ?? 0)} replayed before` : "",
    ],
    [
      "Tokens",
      count(spent?.tokens ?? 0),
      budget_tokens === null
        ? `about ${count(Math.round(expected.tokens.likely))} expected`
        : `of ${count(budget_tokens)} budget`,
    ],
    [
      "Money",
      money.toFixed(money < 1 && money > 0 ? 4 : 2),
      budget_money === null
        ? expected.money === null
          ? "no price is known"
          : `about ${expected.money.likely.toFixed(2)} expected`
        : `of ${budget_money} budget`,
    ],
    [
      "Rate",
      took !== null && took > 0 && done > 0 ? `${((done * 1000) / took).toFixed(1)}/s` : "–",
      rate === null ? "no limit" : `at most ${rate}/s`,
    ],
    ["Time", duration(took), ""],
  ];
  return (
    <section className="card progress-card" aria-label="Progress">
      <div className="card-body">
        <p className="dim">
          <span className="mono">{job.source}</span> {job.note && <span className="standin">{job.note}</span>}
        </p>
        <Bar job={job} legend />
        <dl className="plan-figures">
          {cells.map(([name, value, beside]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="num">
                {value}
                <small>{beside}</small>
              </dd>
            </div>
          ))}
        </dl>
      </div>
    </section>
  );
}
