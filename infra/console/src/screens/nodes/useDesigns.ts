// Drafts of a graph and of its nodes: loaded, edited with undo, saved by themselves, never over somebody else's change.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import { get, Problem, post, put } from "../../api/http";
import type { Json } from "../../edit/jsonPatch";
import { same } from "../../edit/jsonPatch";
import {
  type Draft,
  type Graph,
  type GraphRow,
  type NodeConfig,
  type NodeRow,
  type Report,
  type StoredGraph,
  type StoredNode,
  take,
} from "./model";

/** Milliseconds after the last change until it is saved. */
const PAUSE_MS = 400;
const EMPTY: Draft = { graph: null, nodes: {} };

export interface Conflict {
  what: "graph" | "node";
  id: string;
  mine: Json;
  theirs: Json;
  etag: string;
}

export interface NodeState {
  etag: string | null;
  version: number | null;
  published: number | null;
  disabled: boolean;
  report: Report | undefined;
}

const stateOf = (stored: StoredNode): NodeState => ({
  etag: stored.etag,
  version: stored.version,
  published: stored.published_version,
  disabled: stored.disabled,
  report: stored.report,
});

/** Nodes with their figures of the last hour. */
export const useNodeRows = () =>
  useQuery<NodeRow[], Problem>({
    queryKey: ["nodes"],
    queryFn: async ({ signal }) => {
      const rows: NodeRow[] = [];
      let cursor: string | null = null;
      do {
        const page: { items: NodeRow[]; next: string | null } = await get(
          "/api/v1/nodes",
          { stats: "1h", limit: 500, cursor },
          signal,
        );
        rows.push(...page.items);
        cursor = page.next;
      } while (cursor !== null);
      return rows;
    },
    refetchInterval: 5000,
    retry: false,
  });

export const useGraphs = () =>
  useQuery<GraphRow[], Problem>({
    queryKey: ["graphs"],
    queryFn: async ({ signal }) =>
      (await get<{ items: GraphRow[] }>("/api/v1/graphs", { limit: 100 }, signal)).items,
    retry: false,
  });

/** The drafts of one graph and of all nodes; `null`: nodes alone; `undefined`: it is not known yet which graph. */
export function useDesigns(graphId: string | null | undefined) {
  const queries = useQueryClient();
  const [history, step] = useReducer(take, { past: [], present: EMPTY, future: [] });
  const [states, setStates] = useState<{ [id: string]: NodeState }>({});
  const [conflict, setConflict] = useState<Conflict | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [saving, setSaving] = useState(false);
  const [loaded, setLoaded] = useState(false);
  const graphEtag = useRef<string | null>(null);
  const saved = useRef<Draft>(EMPTY);
  const known = useRef(states);
  known.current = states;
  const draft = history.present;

  useEffect(() => {
    if (graphId === undefined) return;
    const stop = new AbortController();
    setLoaded(false);
    setConflict(null);
    setError(null);
    const load = async () => {
      const page = await get<{ items: StoredNode[] }>("/api/v1/nodes", { limit: 500 }, stop.signal);
      const graph =
        graphId === null
          ? null
          : await get<StoredGraph>(`/api/v1/graphs/${encodeURIComponent(graphId)}`, undefined, stop.signal);
      graphEtag.current = graph?.etag ?? null;
      const found: Draft = {
        graph: graph?.graph ?? null,
        nodes: Object.fromEntries(page.items.map((stored) => [stored.id, stored.node])),
      };
      saved.current = found;
      setStates(Object.fromEntries(page.items.map((stored) => [stored.id, stateOf(stored)])));
      step({ kind: "load", draft: found });
      setLoaded(true);
    };
    load().catch((failure: unknown) => {
      if (!stop.signal.aborted) setError(failure);
    });
    return () => stop.abort();
  }, [graphId]);

  const keep = useCallback((stored: StoredNode) => {
    setStates((before) => ({ ...before, [stored.id]: { ...before[stored.id], ...stateOf(stored) } }));
  }, []);

  const saveNode = useCallback(
    async (id: string, node: NodeConfig) => {
      const etag = known.current[id]?.etag ?? null;
      const stored = await put<StoredNode>(`/api/v1/nodes/${encodeURIComponent(id)}`, node, {
        headers: etag === null ? { "If-None-Match": "*" } : { "If-Match": etag },
      });
      saved.current = { ...saved.current, nodes: { ...saved.current.nodes, [id]: node } };
      keep(stored);
    },
    [keep],
  );

  const saveGraph = useCallback(async (id: string, graph: Graph) => {
    const etag = graphEtag.current;
    const stored = await put<StoredGraph>(`/api/v1/graphs/${encodeURIComponent(id)}`, graph, {
      headers: etag === null ? { "If-None-Match": "*" } : { "If-Match": etag },
    });
    graphEtag.current = stored.etag;
    saved.current = { ...saved.current, graph };
  }, []);

  useEffect(() => {
    if (!loaded || conflict !== null) return;
    const nodes = Object.entries(draft.nodes).filter(([id, node]) => !same(node, saved.current.nodes[id]));
    const graph =
      draft.graph !== null && !same(draft.graph as unknown as Json, saved.current.graph as unknown as Json);
    if (nodes.length === 0 && !graph) return;
    const timer = setTimeout(async () => {
      setSaving(true);
      let at: { what: "graph" | "node"; id: string; mine: Json } | null = null;
      try {
        for (const [id, node] of nodes) {
          at = { what: "node", id, mine: node };
          await saveNode(id, node);
        }
        if (graph && typeof graphId === "string" && draft.graph !== null) {
          at = { what: "graph", id: graphId, mine: draft.graph as unknown as Json };
          await saveGraph(graphId, draft.graph);
        }
        setError(null);
        void queries.invalidateQueries({ queryKey: ["nodes"] });
      } catch (failure) {
        if (failure instanceof Problem && failure.status === 412 && at !== null) {
          const current = failure.document.current as
            | { etag?: string; node?: Json; graph?: Json }
            | undefined;
          setConflict({
            ...at,
            theirs: (at.what === "node" ? current?.node : current?.graph) ?? null,
            etag: current?.etag ?? "*",
          });
        } else setError(failure);
      } finally {
        setSaving(false);
      }
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [draft, loaded, conflict, graphId, saveNode, saveGraph, queries]);

  /** Decide a conflict: keep what is here, or take what is stored. */
  const decide = (mine: boolean) => {
    if (conflict === null) return;
    if (conflict.what === "graph") graphEtag.current = conflict.etag;
    else {
      setStates((before) => {
        const state = before[conflict.id];
        return state ? { ...before, [conflict.id]: { ...state, etag: conflict.etag } } : before;
      });
    }
    if (!mine) {
      const nodes =
        conflict.what === "node"
          ? { ...draft.nodes, [conflict.id]: conflict.theirs as NodeConfig }
          : draft.nodes;
      const graph = conflict.what === "graph" ? (conflict.theirs as unknown as Graph) : draft.graph;
      saved.current = {
        graph: conflict.what === "graph" ? graph : saved.current.graph,
        nodes: {
          ...saved.current.nodes,
          ...(conflict.what === "node" ? { [conflict.id]: conflict.theirs as NodeConfig } : {}),
        },
      };
      step({ kind: "change", draft: { graph, nodes } });
    }
    setConflict(null);
  };

  /** A change of a node's state that is none of its content: publish, enable, disable. */
  const act = async (id: string, action: "publish" | "disable" | "enable") => {
    const etag = known.current[id]?.etag;
    try {
      keep(
        await post<StoredNode>(`/api/v1/nodes/${encodeURIComponent(id)}/${action}`, undefined, {
          headers: etag ? { "If-Match": etag } : {},
        }),
      );
      setError(null);
      void queries.invalidateQueries({ queryKey: ["nodes"] });
    } catch (failure) {
      setError(failure);
    }
  };

  /** Ask what the gateway finds about a node that was not changed here. */
  const inspect = useCallback((id: string) => {
    get<StoredNode>(`/api/v1/nodes/${encodeURIComponent(id)}`).then(
      ({ report }) =>
        setStates((before) => {
          const state = before[id];
          return state && state.report === undefined ? { ...before, [id]: { ...state, report } } : before;
        }),
      setError,
    );
  }, []);

  const unsaved =
    loaded &&
    (Object.entries(draft.nodes).some(([id, node]) => !same(node, saved.current.nodes[id])) ||
      (draft.graph !== null &&
        !same(draft.graph as unknown as Json, saved.current.graph as unknown as Json)));

  const busy = saving || unsaved;
  const waiting = useRef<(() => void)[]>([]);
  useEffect(() => {
    if (error !== null || conflict !== null) waiting.current = [];
    else if (loaded && !busy) for (const each of waiting.current.splice(0)) each();
  });
  /** Do what needs what was typed: now, or as soon as it is saved. */
  const whenSaved = (action: () => void) => {
    if (busy) waiting.current.push(action);
    else action();
  };

  return {
    draft,
    loaded,
    states,
    error,
    setError,
    conflict,
    decide,
    act,
    inspect,
    whenSaved,
    saving: busy,
    canUndo: history.past.length > 0,
    canRedo: history.future.length > 0,
    undo: () => step({ kind: "undo" }),
    redo: () => step({ kind: "redo" }),
    change: (next: Draft, merge = false) => step({ kind: "change", draft: next, merge }),
  };
}

export type Designs = ReturnType<typeof useDesigns>;
