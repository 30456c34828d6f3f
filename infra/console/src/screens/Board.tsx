// The board: every request on its way through the stages, now or at any past second.

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { useConnection } from "../api/hooks";
import { get, type Problem } from "../api/http";
import { type Accent, accentOf } from "../api/model";
import { useShortcuts } from "../shell/shortcuts";
import { clock, count, duration, percent } from "../ui/format";
import { Empty, ErrorNote, OriginLabel, Time } from "../ui/parts";
import { type BoardState, LANES, type Lane, progressOf, type Token } from "./boardState";
import { NewRequest } from "./NewRequest";
import { useLiveBoard, usePlayback } from "./useBoard";
import "./board.css";

interface StageLane {
  stage: string;
  waiting: number;
  ack_pending: number;
  working: number | null;
  parked: number | null;
  redelivered: number;
  fetching: number;
  oldest_age_s: number | null;
  delivered_per_s: number | null;
  problems: string[];
}

interface Figures {
  requests: number;
  origins: Record<string, number>;
  stand_in_rate: number | null;
  stand_ins: { code: string | null; requests: number }[];
}

interface BoardAnswer {
  at: string;
  stages: StageLane[];
  open: number;
  results_per_s: number;
  last_5m: Figures | null;
}

const NAMES: Record<Lane, string> = {
  "context-build": "Context",
  "freeform-gen": "Draft",
  structuring: "Structure",
  "validate-repair": "Check, repair",
  fallback: "Fallback",
};
const SPEEDS = [1, 5, 20];

export function Board() {
  const { at } = useSearch({ from: "/" });
  const navigate = useNavigate();
  const from = at === undefined ? null : Number(at);
  const goTo = (ms: number | null) =>
    void navigate({ to: "/", search: ms === null ? {} : { at: String(Math.round(ms)) }, replace: true });
  const live = useLiveBoard(from === null);
  const past = usePlayback(from, () => goTo(null));
  const shown = past ?? live;
  const { missed } = useConnection();
  const board = useQuery<BoardAnswer, Problem>({
    queryKey: ["board"],
    queryFn: ({ signal }) => get<BoardAnswer>("/api/v1/board", undefined, signal),
    // Depths of queues are no events: they are asked for while the page is seen.
    refetchInterval: 1000,
    retry: false,
  });
  useShortcuts({ space: () => shown.setPaused(!shown.paused) });
  useEffect(() => {
    document.title = "Board · Understudy";
  }, []);
  const lanes = new Map(board.data?.stages.map((lane) => [lane.stage, lane]));

  return (
    <>
      <div className="page-head">
        <h1>Board</h1>
        {past && (
          <span className="past">
            as it was at <Time at={past.now} />
          </span>
        )}
        <div className="grow" />
        {(live.held > 0 || missed > 0) && (
          <span className="dim" role="status">
            {live.held > 0 && `${count(live.held)} events wait`}
            {missed > 0 && ` you missed ${count(missed)}`}
          </span>
        )}
        <button
          type="button"
          className="button"
          onClick={() => shown.setPaused(!shown.paused)}
          aria-pressed={shown.paused}
        >
          {shown.paused ? "Go on" : "Pause"} <span className="kbd">space</span>
        </button>
        <NewRequest />
      </div>
      {board.error && <ErrorNote error={board.error} />}
      {past?.error !== null && past?.error !== undefined && <ErrorNote error={past.error} />}
      <Headline board={board.data} />
      <section className="card lanes" aria-label="Stages">
        {LANES.map((lane) => (
          <LaneRow
            key={lane}
            lane={lane}
            state={shown.state}
            now={shown.now}
            figures={past ? undefined : lanes.get(lane)}
          />
        ))}
      </section>
      <TimeMachine
        now={shown.now}
        past={past !== null}
        speed={past?.speed ?? 1}
        onSpeed={past?.setSpeed}
        onChoose={goTo}
      />
      <div className="board-columns">
        <Latest state={shown.state} />
        <Reasons figures={board.data?.last_5m ?? null} />
      </div>
    </>
  );
}

function Headline({ board }: { board: BoardAnswer | undefined }) {
  const figures = board?.last_5m;
  const all = figures?.requests ?? 0;
  const numbers: Record<Accent, number> = { live: 0, cache: 0, standin: 0, nothing: 0, scripted: 0 };
  for (const [origin, number] of Object.entries(figures?.origins ?? {})) {
    numbers[accentOf(origin) ?? "nothing"] += number;
  }
  const parts: [string, Accent][] = [
    ["Live", "live"],
    ["From the cache", "cache"],
    ["Stand-ins", "standin"],
    ["Nothing", "nothing"],
  ];
  // A test's provider is no model: its results have a column of their own where there are any.
  if (numbers.scripted > 0) parts.unshift(["Scripted", "scripted"]);
  return (
    <section className="card headline" aria-label="Last five minutes">
      <div>
        <small>Results, last 5 min</small>
        <b>{count(all)}</b>
        <small>{board ? `${board.results_per_s.toFixed(1)}/s, ${count(board.open)} running` : "–"}</small>
      </div>
      {parts.map(([name, accent]) => (
        <div key={name}>
          <small>{name}</small>
          <b className={numbers[accent] > 0 ? accent : "faint"}>
            {all > 0 ? percent(numbers[accent] / all) : "–"}
          </b>
          <small>{count(numbers[accent])}</small>
        </div>
      ))}
    </section>
  );
}

/** Pixels of a request with its name, and between two of them. */
const CHIP_PX = 104;
const GAP_PX = 6;
const ROWS = 2;

function LaneRow({
  lane,
  state,
  now,
  figures,
}: {
  lane: Lane;
  state: BoardState;
  now: number;
  figures: StageLane | undefined;
}) {
  const track = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const element = track.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const placed = place(
    [...state.tokens.values()].filter((token) => token.lane === lane),
    now,
    width,
  );
  const cells: [string, string, string][] = figures
    ? [
        ["waiting", count(figures.waiting), ""],
        ["working", figures.working === null ? count(figures.ack_pending) : count(figures.working), ""],
        ["parked", figures.parked === null ? "–" : count(figures.parked), figures.parked ? "standin" : ""],
        ["again", count(figures.redelivered), figures.redelivered > 0 ? "standin" : ""],
        ["oldest", figures.oldest_age_s === null ? "–" : duration(figures.oldest_age_s * 1000), ""],
      ]
    : [];
  return (
    <div className="lane">
      <div className="lane-name">
        <b>{NAMES[lane]}</b>
        <span className="faint cut">{lane}</span>
      </div>
      <div className="lane-track" ref={track}>
        {placed.map((each) => (
          <Chip key={each.token.id} {...each} now={now} />
        ))}
      </div>
      <dl className="lane-facts">
        {cells.map(([name, value, accent]) => (
          <div key={name}>
            <dd className={accent}>{value}</dd>
            <dt>{name}</dt>
          </div>
        ))}
      </dl>
      {figures?.problems.map((problem) => (
        <p key={problem} className="lane-problem nothing">
          {problem}
        </p>
      ))}
    </div>
  );
}

interface Placed {
  token: Token;
  /** Pixels from the left. */
  x: number;
  /** Row of a request with its name; `null`: there is room for a bar only. */
  row: number | null;
}

/** Where requests are on their lane: further right, the less of their time is left. */
function place(tokens: Token[], now: number, width: number): Placed[] {
  const ends = new Array<number>(ROWS).fill(0);
  return tokens
    .map((token) => ({ token, x: Math.round(progressOf(token, now) * (width - CHIP_PX)) }))
    .sort((left, right) => left.x - right.x)
    .map(({ token, x }) => {
      const row = ends.findIndex((end) => end <= x);
      if (row >= 0) ends[row] = x + CHIP_PX + GAP_PX;
      return { token, x, row: row >= 0 ? row : null };
    });
}

function Chip({ token, x, row, now }: Placed & { now: number }) {
  const accent = token.ended?.accent ?? (progressOf(token, now) > 0.9 ? "late" : "");
  const label = `${token.kind} ${token.id.slice(-3)}`;
  return (
    <Link
      to="/requests/$id"
      params={{ id: token.id }}
      className={`chip ${accent}${token.ended ? " ended" : ""}${row === null ? " bar" : ""}`}
      style={{ left: x, top: row === null ? undefined : 7 + row * 26 }}
      title={`${token.kind} ${token.id}, ${duration(now - token.asked)} since it was asked`}
      tabIndex={row === null ? -1 : 0}
    >
      {row === null ? <span className="hidden">{label}</span> : label}
      {row !== null && token.attempt > 1 && <span className="standin"> ×{token.attempt}</span>}
    </Link>
  );
}

/** Seconds that the slider goes back. */
const SPAN_S = 3600;

function TimeMachine({
  now,
  past,
  speed,
  onSpeed,
  onChoose,
}: {
  now: number;
  past: boolean;
  speed: number;
  onSpeed: ((speed: number) => void) | undefined;
  onChoose: (ms: number | null) => void;
}) {
  const back = Math.min(SPAN_S, Math.max(0, Math.round((Date.now() - now) / 1000)));
  return (
    <section className="card time-machine" aria-label="Time">
      <span className="faint">an hour ago</span>
      <input
        type="range"
        min={-SPAN_S}
        max={0}
        value={past ? -back : 0}
        aria-label="Moment that is shown"
        aria-valuetext={past ? clock(now) : "now"}
        onChange={(event) => {
          const seconds = Number(event.target.value);
          onChoose(seconds === 0 ? null : Date.now() + seconds * 1000);
        }}
      />
      <span className="num">{past ? clock(now) : "now"}</span>
      <fieldset className="quick">
        <legend className="hidden">Speed</legend>
        {SPEEDS.map((each) => (
          <button
            key={each}
            type="button"
            disabled={!past}
            aria-pressed={past && speed === each}
            onClick={() => onSpeed?.(each)}
          >
            {each}×
          </button>
        ))}
      </fieldset>
      <button type="button" className="button" disabled={!past} onClick={() => onChoose(null)}>
        Now
      </button>
    </section>
  );
}

function Latest({ state }: { state: BoardState }) {
  return (
    <section className="card" aria-label="Latest results">
      <div className="card-head">
        <h2>Latest</h2>
        <Link className="faint" to="/requests">
          all requests
        </Link>
      </div>
      {state.latest.length === 0 ? (
        <Empty
          title="Nothing ended since this page was opened"
          command={'understudy request "a forest with three coins"'}
        />
      ) : (
        <ol className="latest">
          {state.latest.slice(0, 14).map((ended) => (
            <li key={`${ended.id}.${ended.at}`}>
              <Time at={ended.at} />
              <OriginLabel origin={ended.origin} />
              <Link className="cut" to="/requests/$id" params={{ id: ended.id }}>
                <b>{ended.kind}</b> {ended.title}{" "}
                {ended.code && accentOf(ended.origin) !== "live" && (
                  <code className="faint">{ended.code}</code>
                )}
              </Link>
              <span className="num dim">{duration(ended.took)}</span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Reasons({ figures }: { figures: Figures | null }) {
  const most = Math.max(1, ...(figures?.stand_ins.map((reason) => reason.requests) ?? []));
  return (
    <section className="card" aria-label="Why understudies went on">
      <div className="card-head">
        <h2>Why understudies went on</h2>
        <span className="faint">last 5 min</span>
      </div>
      {figures === null || figures.stand_ins.length === 0 ? (
        <Empty title="No stand-in in the last five minutes" />
      ) : (
        <ul className="reasons">
          {figures.stand_ins.map((reason) => (
            <li key={reason.code}>
              <Link to="/requests" search={{ ...(reason.code && { code: reason.code }), since: "5m" }}>
                <code>{reason.code ?? "no error"}</code>
              </Link>
              <span className="num">{count(reason.requests)}</span>
              <i>
                <u style={{ width: `${(100 * reason.requests) / most}%` }} />
              </i>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
