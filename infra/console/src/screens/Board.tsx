// The board: every request on its way through the stages, now or at any past second.

import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect } from "react";
import { useConnection } from "../api/hooks";
import { get, type Problem } from "../api/http";
import { type Accent, accentOf } from "../api/model";
import { useShortcuts } from "../shell/shortcuts";
import { clock, count, percent } from "../ui/format";
import { ErrorNote, Time } from "../ui/parts";
import { type Figures, Latest, Reasons } from "./BoardLists";
import { LANES } from "./boardState";
import { LaneRow, type StageLane } from "./Lanes";
import { NewRequest } from "./NewRequest";
import { useLiveBoard, usePlayback } from "./useBoard";
import "./board.css";

interface BoardAnswer {
  at: string;
  stages: StageLane[];
  open: number;
  results_per_s: number;
  last_5m: Figures | null;
}

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
        {past && live.held > 0 && (
          <button type="button" className="button quiet" onClick={() => goTo(null)}>
            {count(live.held)} newer, go to now
          </button>
        )}
        {((!past && live.held > 0) || missed > 0) && (
          <span className="dim" role="status">
            {!past && live.held > 0 && `${count(live.held)} events wait`}
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
        <Latest state={shown.state} live={past === null} />
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
