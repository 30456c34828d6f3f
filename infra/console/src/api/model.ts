// What the gateway's JSON means to the console.

export type Kind = string;

/** Where content comes from, as the pipeline says it. */
export type Origin =
  | "live"
  | "cache"
  | "scripted"
  | "golden_sample"
  | "default_content"
  | "placeholder"
  | "none";

/** The origins that have a colour of their own. */
export type Accent = "live" | "cache" | "standin" | "nothing" | "scripted";

const ACCENTS: Record<Origin, Accent> = {
  live: "live",
  cache: "cache",
  scripted: "scripted",
  golden_sample: "standin",
  default_content: "standin",
  placeholder: "standin",
  none: "nothing",
};

const WORDS: Record<Origin, string> = {
  live: "live",
  cache: "cache",
  scripted: "scripted",
  golden_sample: "stand-in",
  default_content: "default",
  placeholder: "placeholder",
  none: "nothing",
};

/** The accent of an origin; `null` where a request has not ended. */
export const accentOf = (origin: string | null | undefined): Accent | null =>
  origin ? (ACCENTS[origin as Origin] ?? "nothing") : null;

/** An origin in one word. */
export const wordOf = (origin: string | null | undefined): string =>
  origin ? (WORDS[origin as Origin] ?? origin) : "running";

/** A row of the list of requests. */
export interface RequestRow {
  request_id: string;
  kind: Kind;
  status: string;
  origin: Origin | null;
  workspace: string | null;
  node_id: string | null;
  attempt: number | null;
  last_event: string | null;
  error_code: string | null;
  error_stage: string | null;
  error_message: string | null;
  provider: string | null;
  model: string | null;
  prompt_version: string | null;
  requested_at_ms: number;
  ended_at_ms: number | null;
  replay_of: string | null;
  shadow: boolean | null;
  revised_by: string | null;
  generated_for: string | null;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface ErrorInfo {
  code: string;
  stage: string;
  message: string;
}

/** One provider call. */
export interface Attempt {
  provider: string;
  model: string;
  code: string | null;
  time_ms: number;
  why?: string;
}

/** What a judge says about one criterion. */
export interface CriterionScore {
  name: string;
  score: number;
  reason: string;
}

/** The judgement of a model about the content, or why there is none. */
export interface Evaluation {
  state: "scored" | "skipped" | "failed";
  score: number | null;
  criteria: CriterionScore[];
  rubric: string | null;
  provider: string | null;
  model: string | null;
  time_ms: number;
  code: string | null;
  reason: string;
}

/** What became of the rewriting of the wish or the draft. */
export interface Enhancement {
  state: "rewritten" | "kept" | "skipped" | "failed";
  of: string;
  provider: string | null;
  model: string | null;
  time_ms: number;
  reason: string;
}

/** A request's result. */
export interface Result {
  request_id: string;
  kind: Kind;
  status: string;
  origin: Origin;
  reason: string;
  content: unknown;
  meta?: Record<string, unknown> & {
    tokens?: { prompt: number | null; completion: number | null };
    cost?: { amount: number | null; currency?: string } | null;
    model?: string | null;
    provider?: string | null;
    time_ms?: Record<string, number>;
    attempts?: Attempt[];
  };
  error?: ErrorInfo | null;
  stand_in?: { name: string; hash: string } | null;
  warnings?: string[];
}

/** An event of the log, as streams and histories carry it. */
export interface PipelineEvent {
  seq: number | null;
  stream?: string;
  time: string;
  subject: string;
  event: string;
  kind: Kind | null;
  request_id: string | null;
  stage: string | null;
  data: Record<string, unknown>;
}

/** An event in a request's history. */
export interface HistoryEvent extends PipelineEvent {
  offset_ms: number;
  latency_ms: number | null;
  attempt: number | null;
  note: string;
}

/** The whole story of a request. */
export interface Explanation {
  request_id: string;
  kind: Kind;
  status: string;
  origin: Origin | null;
  /** `null` while it runs. */
  reason: string | null;
  error: ErrorInfo | null;
  attempts: Attempt[];
  stand_in: { name: string; hash: string } | null;
  evaluation: Evaluation | null;
  enhancement: Enhancement | null;
  replay_of: string | null;
  shadow: boolean;
  from_stage: string | null;
  patched_by: string | null;
  generated_for: string | null;
  scene_of: string | null;
  scenes: string[];
  revised_by: string | null;
  waiting_for: string | null;
  events: HistoryEvent[];
}

export interface Session {
  role: "client" | "viewer" | "designer" | "operator" | "admin";
  workspace: string | null;
  token_id: string | null;
  via: "token" | "session" | "local";
  expires: string | null;
}
