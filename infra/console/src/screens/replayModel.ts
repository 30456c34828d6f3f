// Replay jobs as the gateway describes them.

import type { Accent } from "../api/model";
import type { Json, Operation } from "../edit/jsonPatch";
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
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cost: number | null;
}
export interface JobItem extends Item {
  position: number;
  outcome: Outcome | null;
}
export interface UndoReport {
  dry_run: boolean;
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

/** An amount above 0, as it is typed. */
export const readAmount = (text: string): number | undefined => {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) && value > 0 ? value : undefined;
};

/** The body of the order. */
export function toOrder(draft: Draft): Record<string, unknown> {
  const query = toQuery(draft.filter);
  const { q, ...words } = query;
  const filter = { ...words, ...(q ? { text: q } : {}) };
  const budget = { tokens: readAmount(draft.tokens), money: readAmount(draft.money) };
  const rate = readAmount(draft.rate);
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

/** The command that asks for the same; a selection of several requests by their ids is a call of the API. */
export function toCommand(draft: Draft, origin: string, plan?: string): string {
  const letters = draft.of === "letters";
  if (!letters && draft.ids !== null && draft.ids.length > 1) {
    const order = { ...toOrder(draft), ...(plan === undefined ? { dry_run: true } : { plan_hash: plan }) };
    return `curl ${origin}/api/v1/replays -H 'content-type: application/json' -d ${shell(JSON.stringify(order))}`;
  }
  const parts = [letters ? "understudy dead replay" : "understudy replay"];
  if (draft.ids !== null) parts.push(...draft.ids.map((id) => (letters ? id : `--id ${shell(id)}`)));
  if (toOptions(draft.filter) !== "") parts.push(toOptions(draft.filter));
  else if (draft.ids === null) parts.push("--all");
  if (draft.from !== "") parts.push(`--from ${draft.from}`);
  if (draft.fresh && !letters) parts.push("--fresh");
  if (draft.again) parts.push("--again");
  if (readAmount(draft.rate) !== undefined) parts.push(`--rate ${draft.rate.trim()}/s`);
  if (readAmount(draft.tokens) !== undefined) parts.push(`--budget ${draft.tokens.trim()}tokens`);
  if (readAmount(draft.money) !== undefined) parts.push(`--budget ${draft.money.trim()}`);
  parts.push(plan === undefined ? "--dry-run" : `--plan ${plan}`);
  // The option reads a file.
  if (draft.patch.length > 0) {
    return `${parts.join(" ")} --patch /dev/stdin <<'END'\n${JSON.stringify(draft.patch)}\nEND`;
  }
  return parts.join(" ");
}

/** Operations as a text has them; a text that is no patch gives the reason. */
export function readPatch(text: string): Operation[] | string {
  if (text.trim() === "") return [];
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (failure) {
    return failure instanceof Error ? failure.message : String(failure);
  }
  const isOperation = (each: unknown): each is Operation =>
    typeof each === "object" && each !== null && "op" in each && "path" in each;
  return Array.isArray(found) && found.every(isOperation)
    ? found
    : 'a patch is a list of operations, such as [{"op": "replace", "path": "/seed", "value": 7}]';
}

/** A value as it is typed: JSON, or else a text. */
export function readValue(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/** Whether a patch says which requests it is for, before it changes them; many need that. */
export const isGuarded = (patch: Operation[]): boolean => patch.length === 0 || patch[0]?.op === "test";

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

const STATUS_ACCENTS: Record<string, Accent> = {
  success: "live",
  cached: "cache",
  cached_fallback: "standin",
  fail_fallback: "standin",
  placeholder: "standin",
};

/** The accent of a status. */
export const accentOfStatus = (status: string): Accent => STATUS_ACCENTS[status] ?? "nothing";

export interface Part {
  name: string;
  number: number;
  accent: Accent | "running" | "left";
}

/** What a job's requests are at, the ended ones by status. */
export function partsOf(job: Pick<Job, "counts" | "spent">): Part[] {
  const { done, all } = progressOf(job.counts);
  const statuses = Object.entries(job.spent?.statuses ?? {}).sort(([, left], [, right]) => right - left);
  const ended = job.spent?.ended ?? 0;
  const running = Math.max(0, (job.counts?.published ?? 0) + (job.counts?.undone ?? 0) - ended);
  const parts: Part[] = [
    ...statuses.map(([name, number]) => ({ name, number, accent: accentOfStatus(name) })),
    { name: "running", number: running, accent: "running" },
    {
      name: "not published",
      number: (job.counts?.taken ?? 0) + (job.counts?.changed ?? 0),
      accent: "nothing",
    },
    { name: "left", number: all - done, accent: "left" },
  ];
  return parts.filter((part) => part.number > 0);
}

/** Whether more will be heard of a job: it works, or requests that it published have not ended. */
export const isMoving = (job: Job): boolean =>
  job.state === "running" ||
  job.state === "planning" ||
  (job.spent?.ended ?? 0) < (job.counts?.published ?? 0);

/** The accent of a job's state. */
export const STATE_ACCENT: Record<Job["state"], string> = {
  planning: "faint",
  planned: "faint",
  running: "cache",
  paused: "standin",
  stopped: "standin",
  done: "live",
  undone: "scripted",
};

/** How many requests ended with each origin; the empty one has those that run. */
export function outcomesOf(items: JobItem[]): [string, number][] {
  const found = new Map<string, number>();
  for (const item of items) {
    if (item.state !== "published" && item.state !== "undone") continue;
    const origin = item.outcome?.origin ?? "";
    found.set(origin, (found.get(origin) ?? 0) + 1);
  }
  return [...found].sort(([, left], [, right]) => right - left);
}

/** Whether an item ended with an origin; `null` matches all. */
export const matchesOutcome = (item: JobItem, origin: string | null): boolean =>
  origin === null ||
  ((item.state === "published" || item.state === "undone") && (item.outcome?.origin ?? "") === origin);
