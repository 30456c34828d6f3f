// One replay job: how far it is, what it spent, how each request ended; pause, resume, stop and undo.

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { get, type Problem, post } from "../api/http";
import type { Page } from "../api/model";
import { readEvents } from "../api/sse";
import { count, duration, percent, shortId } from "../ui/format";
import { Copy, ErrorNote, OriginLabel } from "../ui/parts";
import { VirtualRows } from "../ui/VirtualRows";
import { STATE_ACCENT } from "./Replays";
import { type Job, type JobItem, progressOf, type UndoReport } from "./replayModel";
import "./requests.css";
import "./board.css";
import "./replays.css";

const STATES = ["planned", "published", "refused", "present", "taken", "changed", "undone"];

export function Replay() {
  const { job: id } = useParams({ from: "/replays/$job" });
  const queries = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const [undo, setUndo] = useState<UndoReport | null>(null);
  const job = useQuery<Job, Problem>({
    queryKey: ["replay", id],
    queryFn: ({ signal }) => get<Job>(`/api/v1/replays/${id}`, undefined, signal),
    retry: false,
    // A job is done when all is published; results come later.
    refetchInterval: (query) => (isOpen(query.state.data) ? OPEN_MS : false),
  });
  // Its events end with the job; one that was resumed has new ones.
  const state = job.data?.state;
  const moving = state === "running" || state === "planning" || state === "paused" || state === "planned";
  useEffect(() => {
    if (!moving) return;
    const stop = new AbortController();
    const take = () => void queries.invalidateQueries({ queryKey: ["replay", id] });
    // Without its events the page is as old as it was loaded: the shell says that events are missing.
    readEvents(`/api/v1/replays/${id}/events`, take, stop.signal).catch(() => undefined);
    return () => stop.abort();
  }, [moving, id, queries]);
  const act = (verb: "pause" | "resume" | "stop") => {
    setError(null);
    post(`/api/v1/replays/${id}/${verb}`, verb === "resume" ? {} : undefined).then(
      () => queries.invalidateQueries({ queryKey: ["replay", id] }),
      setError,
    );
  };
  const askUndo = (dry_run: boolean) => {
    setError(null);
    post<UndoReport>(`/api/v1/replays/${id}/undo`, { dry_run }).then((report) => {
      setUndo(dry_run ? report : null);
      if (!dry_run) void queries.invalidateQueries({ queryKey: ["replay", id] });
    }, setError);
  };
  const found = job.data;
  return (
    <>
      <div className="page-head">
        <h1>Replay {id}</h1>
        {found && <span className={`origin ${STATE_ACCENT[found.state]}`}>{found.state}</span>}
        <div className="grow" />
        <Copy text={`understudy replay show ${id}`}>Copy as command</Copy>
        {(state === "planned" || state === "paused" || state === "stopped") && state !== "stopped" && (
          <button type="button" className="button main" onClick={() => act("resume")}>
            {state === "planned" ? "Start" : "Go on"}
          </button>
        )}
        {state === "running" && (
          <button type="button" className="button" onClick={() => act("pause")}>
            Pause
          </button>
        )}
        {(state === "running" || state === "paused" || state === "planned") && (
          <button type="button" className="button danger" onClick={() => act("stop")}>
            Stop
          </button>
        )}
        {(state === "done" || state === "stopped" || state === "paused") && (
          <button type="button" className="button danger" onClick={() => askUndo(true)}>
            Undo…
          </button>
        )}
      </div>
      {job.error && <ErrorNote error={job.error} />}
      {error !== null && <ErrorNote error={error} />}
      {undo !== null && <UndoPlan report={undo} onYes={() => askUndo(false)} onNo={() => setUndo(null)} />}
      {found && (
        <>
          <Progress job={found} />
          <Items id={id} counts={found.counts ?? {}} open={isOpen(found)} />
        </>
      )}
    </>
  );
}

function UndoPlan({ report, onYes, onNo }: { report: UndoReport; onYes: () => void; onNo: () => void }) {
  return (
    <section className="note warn connection" aria-label="What an undo would do">
      <strong>What an undo would do</strong>
      <span>
        {count(report.undone)} requests undone: {count(report.cancelled)} cancelled, {count(report.uncached)}{" "}
        cache entries removed ({count(report.put_back)} get their earlier one back), {count(report.restored)}{" "}
        earlier results published again.
      </span>
      {report.cannot.length > 0 && (
        <>
          <span className="standin">What it cannot undo:</span>
          <ul>
            {report.cannot.slice(0, 10).map((line) => (
              <li key={line} className="dim">
                {line}
              </li>
            ))}
          </ul>
        </>
      )}
      <span className="desk-actions">
        <button type="button" className="button main" onClick={onYes}>
          Undo
        </button>
        <button type="button" className="button" onClick={onNo}>
          Leave it
        </button>
      </span>
    </section>
  );
}

function Progress({ job }: { job: Job }) {
  const { done, all } = progressOf(job.counts);
  const spent = job.spent;
  const ended = spent?.ended ?? 0;
  const took = job.started_ms === null ? null : (job.ended_ms ?? Date.now()) - job.started_ms;
  const cells: [string, string][] = [
    ["Published", `${count(done)} of ${count(all)}`],
    ["Ended", count(ended)],
    ["Refused", count(job.counts?.refused ?? 0)],
    [
      "Tokens",
      `${count(spent?.tokens ?? 0)}${job.limits.budget_tokens ? ` of ${count(job.limits.budget_tokens)}` : ""}`,
    ],
    [
      "Money",
      `${(spent?.money ?? 0).toFixed(2)}${job.limits.budget_money ? ` of ${job.limits.budget_money}` : ""}`,
    ],
    [
      "Rate",
      took !== null && took > 0 && done > 0
        ? `${((done * 1000) / took).toFixed(1)}/s`
        : job.limits.rate
          ? `${job.limits.rate}/s`
          : "–",
    ],
    ["Time", took === null ? "–" : duration(took)],
  ];
  return (
    <section className="card progress-card" aria-label="Progress">
      <div className="card-body">
        <p className="dim">
          <span className="mono">{job.source}</span> {job.note && <span className="standin">{job.note}</span>}
        </p>
        <progress
          max={Math.max(1, all)}
          value={done}
          aria-label={`published ${percent(all > 0 ? done / all : 0)}`}
        />
        <dl className="plan-figures">
          {cells.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="num">{value}</dd>
            </div>
          ))}
        </dl>
      </div>
    </section>
  );
}

/** Milliseconds between two looks for results that are still to come. */
const OPEN_MS = 2000;

/** Whether requests of a job have no result yet. */
const isOpen = (job: Job | undefined): boolean =>
  job !== undefined && (job.spent?.ended ?? 0) < (job.counts?.published ?? 0);

function Items({ id, counts, open }: { id: string; counts: Record<string, number>; open: boolean }) {
  const navigate = useNavigate();
  const [state, setState] = useState<string | null>(null);
  const list = useInfiniteQuery<Page<JobItem>, Problem>({
    queryKey: ["replay", id, "items", state],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get<Page<JobItem>>(
        `/api/v1/replays/${id}/items`,
        { limit: 200, state, cursor: pageParam as string },
        signal,
      ),
    getNextPageParam: (page) => page.next ?? undefined,
    retry: false,
    refetchInterval: open ? OPEN_MS : false,
  });
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  return (
    <section className="card" aria-label="Requests of the job">
      <div className="card-head">
        <h2>Requests</h2>
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
      </div>
      {list.error && <ErrorNote error={list.error} />}
      <VirtualRows
        label="Requests of the job"
        rows={rows}
        keyOf={(row) => String(row.position)}
        onOpen={(row) => void navigate({ to: "/requests/$id", params: { id: row.request_id } })}
        onNearEnd={more}
        height="calc(100vh - 380px)"
        header={
          <div role="row" className="item-row">
            <span role="columnheader">State</span>
            <span role="columnheader">Kind</span>
            <span role="columnheader">Repeats</span>
            <span role="columnheader">Request</span>
            <span role="columnheader">Outcome</span>
            <span role="columnheader">Why</span>
            <span role="columnheader" className="num">
              Took
            </span>
          </div>
        }
      >
        {(row) => (
          <div className="item-row">
            <span role="cell">{row.state}</span>
            <span role="cell">{row.kind}</span>
            <span role="cell" className="mono cut">
              {row.letter !== null ? (
                <Link className="link" to="/dead" search={{ seq: String(row.letter) }}>
                  letter {row.letter}
                </Link>
              ) : (
                row.replay_of && (
                  <Link className="link" to="/requests/$id" params={{ id: row.replay_of }}>
                    {shortId(row.replay_of)}
                  </Link>
                )
              )}
            </span>
            <span role="cell" className="mono cut">
              {row.state === "published" || row.state === "undone" ? (
                <Link className="link" to="/requests/$id" params={{ id: row.request_id }}>
                  {shortId(row.request_id)}
                </Link>
              ) : (
                <span className="faint">{shortId(row.request_id)}</span>
              )}
            </span>
            <span role="cell">
              {row.outcome ? <OriginLabel origin={row.outcome.origin} /> : <span className="faint">–</span>}
            </span>
            <span role="cell" className="cut dim" title={row.reason ?? undefined}>
              {row.code && <code>{row.code}</code>} {row.reason ?? row.outcome?.code ?? ""}{" "}
              {row.replay_of && row.outcome && (
                <Link className="link" to="/compare" search={{ a: row.replay_of, b: row.request_id }}>
                  compare
                </Link>
              )}
            </span>
            <span role="cell" className="num">
              {duration(row.outcome?.latency_ms)}
            </span>
          </div>
        )}
      </VirtualRows>
    </section>
  );
}
