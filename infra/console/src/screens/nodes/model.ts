// Nodes and scene graphs as the gateway stores them, and how fields of them are read and written.

import type { Fault } from "../../api/http";
import { type Json, same } from "../../edit/jsonPatch";

export type NodeConfig = { [name: string]: Json };

export interface Position {
  x: number;
  y: number;
}
export interface Scene {
  type: "scene";
  id: string;
  title?: string | null;
  mood?: string | null;
  summary?: string | null;
  position?: Position | null;
}
export interface Generation {
  type: "generation";
  id: string;
  node?: string | null;
  request?: { [name: string]: Json };
  position?: Position | null;
}
export interface Edge {
  id?: string | null;
  source: string;
  target: string;
}
export interface Graph {
  title?: string | null;
  request?: { [name: string]: Json };
  nodes: (Scene | Generation)[];
  edges: Edge[];
}

export interface Finding extends Fault {
  code: string;
  severity: string;
  path: string;
  message: string;
  suggestion: string;
  pointer: string;
  fixes: { title: string; patch: { op: string; path: string; value?: Json; from?: string }[] }[];
}
export interface Report {
  ok: boolean;
  errors: Finding[];
  warnings: Finding[];
  suggestions: Finding[];
}
export type Badge = "ok" | "warnings" | "errors" | "disabled";

export interface StoredNode {
  id: string;
  version: number;
  published_version: number | null;
  disabled: boolean;
  etag: string;
  node: NodeConfig;
  status?: Badge;
  report?: Report;
}
export interface StoredGraph {
  id: string;
  version: number;
  etag: string;
  graph: Graph;
  missing_nodes?: string[];
}
/** A graph as the list has it. */
export interface GraphRow {
  id: string;
  title: string | null;
  nodes: number;
  edges: number;
}
export interface Figures {
  requests: number;
  stand_in_rate: number | null;
  cache_hit_rate: number | null;
  latency_ms: { p50: number; p95: number; p99: number } | null;
  cost: number | null;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  latest: { request_id: string; status: string; origin: string; error_code: string | null }[];
}
export interface NodeRow extends StoredNode {
  status: Badge;
  findings: { errors: number; warnings: number; suggestions: number };
  figures?: Figures;
}

/** The stored node that a generation uses: its own, that of its request, or that of the whole graph. */
export function nodeOf(graph: Graph, generation: Generation): string | null {
  const named = [generation.node, generation.request?.node, graph.request?.node];
  return named.find((name): name is string => typeof name === "string") ?? null;
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const isObject = (value: Json | undefined): value is NodeConfig =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A field of a node by its path, such as `style.moodFrom`; files may spell names with underscores. */
export function readField(node: NodeConfig, path: string): Json | undefined {
  let value: Json | undefined = node;
  for (const name of path.split(".")) {
    if (!isObject(value)) return undefined;
    value = value[name] ?? value[snake(name)];
  }
  return value;
}

/** The node with another value in a field; `undefined` takes the field out. */
export function writeField(node: NodeConfig, path: string, value: Json | undefined): NodeConfig {
  const [name = "", ...rest] = path.split(".");
  const spelled = !Object.hasOwn(node, name) && Object.hasOwn(node, snake(name)) ? snake(name) : name;
  const inner = node[spelled];
  const written = rest.length === 0 ? value : writeField(isObject(inner) ? inner : {}, rest.join("."), value);
  const { [spelled]: _, ...others } = node;
  const empty = written === undefined || (isObject(written) && Object.keys(written).length === 0);
  return empty ? others : { ...node, [spelled]: written };
}

/** Findings at a field or inside it. */
export function findingsAt(findings: Finding[], path: string): Finding[] {
  const pointer = `/${snake(path).replaceAll(".", "/")}`;
  return findings.filter((finding) => {
    const at = snake(finding.pointer);
    return at === pointer || at.startsWith(`${pointer}/`);
  });
}

/** All findings, errors first. */
export const allFindings = (report: Report | undefined): Finding[] =>
  report === undefined ? [] : [...report.errors, ...report.warnings, ...report.suggestions];

/** An id that none of some things has. */
export function freshId(base: string, taken: Iterable<string>): string {
  const used = new Set(taken);
  if (!used.has(base)) return base;
  let number = 2;
  while (used.has(`${base}_${number}`)) number += 1;
  return `${base}_${number}`;
}

/** An id in the form of the gateway's from any text. */
export const toId = (text: string): string =>
  text
    .trim()
    .replace(/[^A-Za-z0-9_-]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 60) || "node";

/** What is edited together, and undone together. */
export interface Draft {
  graph: Graph | null;
  nodes: { [id: string]: NodeConfig };
}

export interface History {
  past: Draft[];
  present: Draft;
  future: Draft[];
}

export type Step =
  | { kind: "change"; draft: Draft; merge?: boolean }
  | { kind: "load"; draft: Draft }
  | { kind: "undo" }
  | { kind: "redo" };

/** Steps that can be undone. */
const MOST = 200;

export function take(history: History, step: Step): History {
  const { past, present, future } = history;
  switch (step.kind) {
    case "load":
      return { past: [], present: step.draft, future: [] };
    case "change":
      if (same(present as unknown as Json, step.draft as unknown as Json)) return history;
      return {
        past: step.merge && past.length > 0 ? past : [...past, present].slice(-MOST),
        present: step.draft,
        future: [],
      };
    case "undo": {
      const before = past.at(-1);
      return before === undefined
        ? history
        : { past: past.slice(0, -1), present: before, future: [present, ...future] };
    }
    case "redo": {
      const [after, ...rest] = future;
      return after === undefined ? history : { past: [...past, present], present: after, future: rest };
    }
  }
}

/** Pixels between a scene and what is added after it. */
const STEP = 270;

/** A free place to the right of an element, or of all. */
export function placeAfter(graph: Graph, id: string | null): Position {
  const before = graph.nodes.find((each) => each.id === id);
  if (before?.position) {
    const x = before.position.x + STEP;
    let y = before.position.y;
    while (
      graph.nodes.some(
        (each) => each.position && Math.abs(each.position.x - x) < 120 && Math.abs(each.position.y - y) < 110,
      )
    )
      y += 130;
    return { x, y };
  }
  const right = Math.max(0, ...graph.nodes.map((each) => (each.position?.x ?? 0) + STEP));
  return { x: right, y: 0 };
}
