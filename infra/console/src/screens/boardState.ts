// What the board shows, as a function of the log's events alone: the same for now and for any second of the past.

import type { Accent, PipelineEvent } from "../api/model";
import { accentOf } from "../api/model";

/** The stages in the order of the pipeline. */
export const LANES = ["context-build", "freeform-gen", "structuring", "validate-repair", "fallback"] as const;
export type Lane = (typeof LANES)[number];

/** A request on the board. */
export interface Token {
  id: string;
  kind: string;
  lane: Lane;
  /** When it was asked, when it came into its lane, and when the pipeline promises its end; ms since the epoch. */
  asked: number;
  entered: number;
  deadline: number | null;
  attempt: number;
  /** How it ended; it stays for a moment. */
  ended: { at: number; accent: Accent } | null;
}

export interface Ended {
  id: string;
  kind: string;
  origin: string;
  status: string;
  at: number;
  took: number;
  title: string;
  code: string | null;
}

export interface BoardState {
  tokens: ReadonlyMap<string, Token>;
  /** Newest first. */
  latest: readonly Ended[];
}

export const EMPTY: BoardState = { tokens: new Map(), latest: [] };

/** Where a request goes after an event. */
const NEXT: Record<string, Lane> = {
  requested: "context-build",
  context_built: "freeform-gen",
  drafted: "structuring",
  structured: "validate-repair",
  validation_failed: "freeform-gen",
  failed: "fallback",
};
/** Milliseconds for which an ended request stays on its lane. */
export const LINGER_MS = 1200;
/** Requests that are on the board at once; others are counted by their lanes' figures. */
const MOST = 400;
const LATEST = 60;

/** The board after one more event. */
export function reduce(state: BoardState, event: PipelineEvent): BoardState {
  const id = event.request_id;
  if (id === null || event.event === "progress") return state;
  const at = Date.parse(event.time);
  const before = state.tokens.get(id);
  if (event.event === "timer") {
    const limit = event.data.deadline_ms;
    if (before === undefined || typeof limit !== "number") return state;
    return withToken(state, { ...before, deadline: before.asked + limit });
  }
  if (event.event === "result") return end(state, event, before, at);
  const lane = NEXT[event.event];
  if (lane === undefined) return state;
  if (event.event === "requested") {
    if (before !== undefined && before.ended === null) return state;
  } else if (before === undefined || before.ended !== null) return state;
  return withToken(state, {
    id,
    kind: event.kind ?? "",
    lane: route(event, lane),
    asked: before?.ended === null ? before.asked : at,
    entered: at,
    deadline: before?.ended === null ? before.deadline : null,
    attempt: typeof event.data.attempt === "number" ? event.data.attempt : 1,
    ended: null,
  });
}

/** The lane after an event; a request that goes on from stored prose leaves out the draft. */
function route(event: PipelineEvent, lane: Lane): Lane {
  if (event.event === "context_built" && typeof event.data.text === "string") return "structuring";
  return lane;
}

function end(state: BoardState, event: PipelineEvent, before: Token | undefined, at: number): BoardState {
  const origin = String(event.data.origin ?? "none");
  const content = event.data.content as Record<string, unknown> | null | undefined;
  const error = event.data.error as { code?: string } | null | undefined;
  const ended: Ended = {
    id: event.request_id ?? "",
    kind: event.kind ?? "",
    origin,
    status: String(event.data.status ?? ""),
    at,
    took: before ? at - before.asked : Number.NaN,
    title: titleOf(content),
    code: error?.code ?? null,
  };
  if (state.latest.some((other) => other.id === ended.id && other.at === at)) return state;
  const latest = [ended, ...state.latest].slice(0, LATEST);
  if (before === undefined) return { ...state, latest };
  const accent = accentOf(origin) ?? "nothing";
  return { ...withToken(state, { ...before, ended: { at, accent } }), latest };
}

/** What a document calls itself. */
export function titleOf(content: Record<string, unknown> | null | undefined): string {
  for (const name of ["scene_name", "title", "name", "summary", "theme", "concept"]) {
    const value = content?.[name];
    if (typeof value === "string" && value !== "") return value;
  }
  return "";
}

function withToken(state: BoardState, token: Token): BoardState {
  const tokens = new Map(state.tokens);
  tokens.set(token.id, token);
  if (tokens.size > MOST) {
    const oldest = tokens.keys().next().value;
    if (oldest !== undefined) tokens.delete(oldest);
  }
  return { ...state, tokens };
}

/** The board without what has ended a moment ago, and without what must have ended long ago. */
export function sweep(state: BoardState, now: number): BoardState {
  const gone = [...state.tokens.values()].filter(
    (token) =>
      (token.ended !== null && now - token.ended.at > LINGER_MS) ||
      (token.deadline !== null && now - token.deadline > 30_000),
  );
  if (gone.length === 0) return state;
  const tokens = new Map(state.tokens);
  for (const token of gone) tokens.delete(token.id);
  return { ...state, tokens };
}

/** How much of its time a request has used: 0 to 1. */
export function progressOf(token: Token, now: number): number {
  const limit = (token.deadline ?? token.asked + 60_000) - token.asked;
  const used = Math.max(0, (token.ended?.at ?? now) - token.asked);
  // The first seconds matter most: a root stretches them.
  return Math.min(1, Math.sqrt(used / Math.max(1, limit)));
}
