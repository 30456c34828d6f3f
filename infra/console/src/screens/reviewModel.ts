// Reviews as the page shows them: what is being said about an item, and the commands that say the same.

import { percent } from "../ui/format";
import { type Filter, shell, toOptions } from "./filter";

export interface ReviewedContent {
  wish: string | null;
  content: unknown;
}

export interface Item {
  item: string;
  mode: "single" | "pair";
  kind: string;
  sides: ReviewedContent[];
  revealed: boolean;
}

export interface Queue {
  item: Item | null;
  reviewer: string;
  waiting: number;
  gone: number;
  scored: number;
}

export interface RevealedSide {
  request_id: string;
  score: number | null;
  tags: string[];
  origin: string | null;
  provider: string | null;
  model: string | null;
  prompt_version: string | null;
  node: string | null;
  arm: string | null;
  cost: number | null;
  others_mean: number | null;
  others: number;
  judged: number | null;
}

export interface Outcome {
  item: string;
  state: "scored" | "skipped";
  preferred: "left" | "right" | "tie" | null;
  sides: RevealedSide[];
}

export interface Agreement {
  kappa: number | null;
  results: number;
  sentence: string;
}

export interface Group {
  name: string;
  results: number;
  scores: number;
  mean: number;
  good: { value: number; low: number; high: number };
  won: number;
  lost: number;
  tied: number;
  tags: [string, number][];
}

export interface Report {
  sentence: string;
  winner: string | null;
  scores: number;
  results: number;
  reviewers: number;
  revealed: number;
  least: number;
  cut: boolean;
  groups: Group[];
  agreement: Agreement;
  judge: Agreement;
}

export interface Candidates {
  candidates: {
    request_id: string;
    kind: string;
    rating: string;
    samples: number;
    mean_score: number;
    reviewers: number;
    writer: string;
  }[];
  doubtful: { name: string; mean_score: number; reason: string }[];
}

export interface PromotedSample {
  name: string;
  folder: string;
  rating: string;
  tags: string[];
  mean_score: number;
  reviewers: number;
  next: string;
}

/** What is said about one side so far; the tags as they are typed. */
export interface Draft {
  score: number | null;
  tags: string;
}

export const BY = ["prompt_version", "model", "node", "kind", "arm"] as const;
export type By = (typeof BY)[number];

/** Names of the sides of an item. */
export const sidesOf = (item: Item): string[] => (item.sides.length > 1 ? ["Left", "Right"] : ["Content"]);

/** The tags in a text: small letters, digits and hyphens, each once; spaces within a tag become hyphens. */
export const readTags = (text: string): string[] => [
  ...new Set(
    text
      .toLowerCase()
      .split(",")
      .map((each) =>
        each
          .trim()
          .replace(/[^a-z0-9]+/g, "-")
          .replace(/^-+|-+$/g, "")
          .slice(0, 32),
      )
      .filter((each) => each !== ""),
  ),
];

/** The drafts after a score of one side, and the side that is marked then: the first without a score. */
export function score(drafts: Draft[], side: number, value: number): { drafts: Draft[]; side: number } {
  const after = drafts.map((each, index) => (index === side ? { ...each, score: value } : each));
  const open = after.findIndex((each) => each.score === null);
  return { drafts: after, side: open < 0 ? side : open };
}

/** The body that says it; `null`: a score is missing. */
export function bodyOf(item: Item, drafts: Draft[]): { item: string; sides: object[] } | null {
  if (drafts.some((each) => each.score === null)) return null;
  return {
    item: item.item,
    sides: drafts.map((each) => ({ score: each.score, tags: readTags(each.tags) })),
  };
}

const as = (reviewer: string): string => ` --as ${shell(reviewer)}`;

/** The command that shows the next item. */
export const nextCommand = (filter: Filter, pair: boolean, reviewer?: string): string =>
  `understudy review next${pair ? " --pair" : ""} ${toOptions(filter)}`.trim() +
  (reviewer ? as(reviewer) : "");

/** The command that scores an item, as far as it is scored. */
export function scoreCommand(item: Item, drafts: Draft[], reviewer: string): string {
  const tags = ["--tag", "--right-tag"].flatMap((option, side) =>
    readTags(drafts[side]?.tags ?? "").map((each) => ` ${option} ${each}`),
  );
  const scores = drafts.map((each) => each.score ?? "…").join(" ");
  return `understudy review score ${item.item} ${scores}${tags.join("")}${as(reviewer)}`;
}

export const skipCommand = (item: Item, reviewer: string): string =>
  `understudy review skip ${item.item}${as(reviewer)}`;

export const undoCommand = (reviewer: string): string => `understudy review undo${as(reviewer)}`;

/** What wrote a side, in words. */
export const writerOf = (side: RevealedSide): string =>
  [
    [side.provider, side.model].filter(Boolean).join("/") || side.origin || "purged",
    side.prompt_version,
    side.arm,
  ]
    .filter(Boolean)
    .join(", ");

/** What others say about a side, in words. */
export const othersOf = (side: RevealedSide): string =>
  [
    side.others_mean === null ? "no other score" : `${side.others_mean.toFixed(1)} by ${side.others} others`,
    side.judged === null ? null : `judge ${side.judged.toFixed(1)}`,
  ]
    .filter(Boolean)
    .join(", ");

/** Share of good scores with its interval. */
export const goodOf = ({ good }: Group): string =>
  `${percent(good.value)}, ${percent(good.low)} to ${percent(good.high)}`;
