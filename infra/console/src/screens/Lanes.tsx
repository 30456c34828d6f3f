// A stage's lane: its requests on their way, and its figures.

import { Link } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { count, duration } from "../ui/format";
import { type BoardState, type Lane, progressOf } from "./boardState";
import { type Placed, place } from "./lanePlaces";

export interface StageLane {
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

const NAMES: Record<Lane, string> = {
  "context-build": "Context",
  "freeform-gen": "Draft",
  structuring: "Structure",
  "validate-repair": "Check, repair",
  fallback: "Fallback",
};
export function LaneRow({
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

function Chip({ token, x, row, more, now }: Placed & { now: number }) {
  const accent = token.ended?.accent ?? (progressOf(token, now) > 0.9 ? "late" : "");
  const label = `${token.kind} ${token.id.slice(-3)}`;
  const others = more > 0 ? `; ${count(more)} more are here` : "";
  return (
    <Link
      to="/requests/$id"
      params={{ id: token.id }}
      className={`chip ${accent}${token.ended ? " ended" : ""}${row === null ? " bar" : ""}`}
      style={{ left: x, top: row === null ? undefined : 7 + row * 26 }}
      title={`${token.kind} ${token.id}, ${duration(now - token.asked)} since it was asked${others}`}
      tabIndex={row === null ? -1 : 0}
    >
      {row === null ? <span className="hidden">{label}</span> : <span className="cut">{label}</span>}
      {row !== null && token.attempt > 1 && <span className="standin">×{token.attempt}</span>}
      {more > 0 && <b>+{count(more)}</b>}
    </Link>
  );
}
