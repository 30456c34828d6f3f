// Comparisons as the gateway describes them, and what differs between two texts.

import type { HistoryEvent } from "../api/model";

export interface Measures {
  request_id: string;
  status: string | null;
  origin: string | null;
  valid: boolean;
  receipt: string | null;
  error: string | null;
  quality: number | null;
  rating: string | null;
  prompt_version: string | null;
  provider: string | null;
  model: string | null;
  seed: number | null;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cost: number | null;
  latency_ms: number | null;
}
export interface Difference {
  op: string;
  path: string;
  from?: string;
  value?: unknown;
  old?: unknown;
  /** How alike two texts are, 0 to 1. */
  likeness?: number;
}
export interface Comparison {
  kind: string;
  a: Measures;
  b: Measures;
  asked: Difference[];
  equal: boolean | null;
  content: Difference[];
}
export interface Totals {
  requests: number;
  open: number;
  statuses: Record<string, number>;
  ratings: Record<string, number>;
  errors: Record<string, number>;
  prompt_versions: Record<string, number>;
  models: Record<string, number>;
  valid: number;
  quality: number | null;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cost: number | null;
  latency_p50_ms: number | null;
  latency_p95_ms: number | null;
}
export interface Summary {
  pairs: number;
  comparable: number;
  equal: number;
  a: Totals;
  b: Totals;
  fields: {
    kind: string;
    field: string;
    pairs: number;
    share: number;
    added: number;
    removed: number;
    replaced: number;
    moved: number;
  }[];
  asked: Record<string, number>;
  comparisons: Comparison[];
}

/** A piece of two texts: in both, in the first alone, or in the second alone. */
export interface Piece {
  text: string;
  side: "both" | "first" | "second";
}

/** Words of both texts, multiplied, above which they are not compared. */
const MOST_WORDS = 160_000;

/** Two texts word by word: the longest common words, and what only one of them has. */
export function diffWords(first: string, second: string): Piece[] {
  const split = (text: string) => text.match(/\s+|[\p{L}\p{N}_]+|./gsu) ?? [];
  const [left, right] = [split(first), split(second)];
  if (left.length * right.length > MOST_WORDS) {
    return [
      { text: first, side: "first" },
      { text: second, side: "second" },
    ];
  }
  const width = right.length + 1;
  // Common words of what begins at a pair of places.
  const common = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      common[i * width + j] =
        left[i] === right[j]
          ? (common[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  const pieces: Piece[] = [];
  const add = (text: string, side: Piece["side"]) => {
    const last = pieces.at(-1);
    if (last?.side === side) last.text += text;
    else pieces.push({ text, side });
  };
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    const [one, other] = [left[i], right[j]];
    if (one !== undefined && one === other) {
      add(one, "both");
      i += 1;
      j += 1;
    } else if (
      one !== undefined &&
      (other === undefined || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      add(one, "first");
      i += 1;
    } else if (other !== undefined) {
      add(other, "second");
      j += 1;
    }
  }
  return pieces;
}

/** Milliseconds that each stage took, all attempts together, in the order of their work. */
export function timesOfStages(events: HistoryEvent[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const event of events) {
    if (event.stage === null || event.event === "timer" || event.event === "deadline") continue;
    if (event.latency_ms === null || event.event === "requested") continue;
    found.set(event.stage, (found.get(event.stage) ?? 0) + event.latency_ms);
  }
  return found;
}
