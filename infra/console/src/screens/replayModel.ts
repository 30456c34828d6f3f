// Replay jobs as the gateway describes them.

import type { Operation } from "../edit/jsonPatch";
import type { Filter } from "./filter";
import { shell, toOptions, toQuery } from "./filter";

export interface Band {
  low: number;
  likely: number;
  high: number;
}
export interface Estimate {
  generated: number;
  unknown: number;
  sample: number;
  tokens: Band;
  money: Band | null;
  seconds: Band;
  most_tokens: number;
}
export interface Item {
  letter: number | null;
  replay_of: string | null;
  kind: string;
  request_id: string;
  state: string;
  code: string | null;
  reason: string | null;
  cached: boolean;
}
export interface Plan {
  job: number | null;
  plan_hash: string;
  source: string;
  counts: Record<string, number>;
  estimate: Estimate;
  past_error: number | null;
  items: Item[];
}
export interface Job {
  job: number;
  state: "planning" | "planned" | "running" | "paused" | "stopped" | "done" | "undone";
  created_ms: number;
  started_ms: number | null;
  ended_ms: number | null;
  source: string;
  note: string | null;
  estimate: Estimate;
  limits: { rate: number | null; budget_tokens: number | null; budget_money: number | null };
  counts?: Record<string, number>;
  spent?: { ended: number; tokens: number; money: number; statuses: Record<string, number> };
}
export interface Outcome {
  status: string;
  origin: string;
  code: string | null;
  latency_ms: number | null;
}
export interface JobItem extends Item {
  position: number;
  outcome: Outcome | null;
}
export interface UndoReport {
  undone: number;
  cancelled: number;
  uncached: number;
  put_back: number;
  restored: number;
  cannot: string[];
}

/** What the desk asks for. */
export interface Draft {
  of: "requests" | "letters";
  /** Ids of requests or numbers of letters; `null`: all that match the filter. */
  ids: string[] | null;
  filter: Filter;
  patch: Operation[];
  from: "" | "structuring" | "validate-repair";
  fresh: boolean;
  again: boolean;
  rate: string;
  tokens: string;
  money: string;
}

const number = (text: string): number | undefined => {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) && value > 0 ? value : undefined;
};

/** The body of the order. */
export function toOrder(draft: Draft): Record<string, unknown> {
  const query = toQuery(draft.filter);
  const { q, ...words } = query;
  const filter = { ...words, ...(q ? { text: q } : {}) };
  const budget = { tokens: number(draft.tokens), money: number(draft.money) };
  const rate = number(draft.rate);
  return {
    of: draft.of,
    ...(draft.ids !== null && { ids: draft.of === "letters" ? draft.ids.map(Number) : draft.ids }),
    ...(Object.keys(filter).length > 0 && { filter }),
    ...(draft.ids === null && Object.keys(filter).length === 0 && { all: true }),
    ...(draft.patch.length > 0 && { patch: draft.patch }),
    ...(draft.from !== "" && { from: draft.from }),
    ...(draft.fresh && { fresh: true }),
    ...(draft.again && { again: true }),
    ...(rate !== undefined && { rate }),
    ...((budget.tokens ?? budget.money) !== undefined && {
      budget: {
        ...(budget.tokens !== undefined && { tokens: Math.round(budget.tokens) }),
        ...(budget.money !== undefined && { money: budget.money }),
      },
    }),
  };
}

/** The command that asks for the same. */
export function toCommand(draft: Draft): string {
  const letters = draft.of === "letters";
  const parts = [letters ? "understudy dead replay" : "understudy replay"];
  if (draft.ids !== null) parts.push(...draft.ids.map((id) => (letters ? id : `--id ${shell(id)}`)));
  else if (toOptions(draft.filter) !== "") parts.push(toOptions(draft.filter));
  else parts.push("--all");
  if (draft.patch.length > 0) parts.push(`--patch ${shell(JSON.stringify(draft.patch))}`);
  if (draft.from !== "") parts.push(`--from ${draft.from}`);
  if (draft.fresh && !letters) parts.push("--fresh");
  if (draft.again) parts.push("--again");
  if (number(draft.rate) !== undefined) parts.push(`--rate ${draft.rate}/s`);
  if (number(draft.tokens) !== undefined) parts.push(`--budget ${draft.tokens}`);
  return parts.join(" ");
}

/** Refused requests by their reason, the most frequent first. */
export function groupRefusals(items: Item[]): [string, Item[]][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    if (item.state !== "refused") continue;
    const key = `${item.code ?? ""} ${item.reason ?? ""}`.trim();
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups].sort(([, left], [, right]) => right.length - left.length);
}

/** Published, and still to be published, of all that a job has to do. */
export function progressOf(counts: Record<string, number> | undefined): { done: number; all: number } {
  const of = (...names: string[]) => names.reduce((sum, name) => sum + (counts?.[name] ?? 0), 0);
  const done = of("published", "taken", "changed", "undone");
  return { done, all: done + of("planned") };
}
