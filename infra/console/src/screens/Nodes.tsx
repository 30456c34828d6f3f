// Nodes: a scene graph and the panel of the chosen node; saved by itself, published on purpose.

import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { put, remove } from "../api/http";
import { useShortcuts } from "../shell/shortcuts";
import { ErrorNote } from "../ui/parts";
import { Canvas } from "./nodes/Canvas";
import { ConflictCard } from "./nodes/ConflictCard";
import { applyFix } from "./nodes/fix";
import * as edits from "./nodes/graphEdits";
import {
  type Badge,
  type Draft,
  type Finding,
  freshId,
  type Graph,
  type NodeConfig,
  nodeOf,
  toId,
} from "./nodes/model";
import { kindOf, NodePanel, TABS } from "./nodes/Panel";
import { ConnectTo, NodeGrid, ScenePanel } from "./nodes/Places";
import { useDesigns, useGraphs, useNodeRows } from "./nodes/useDesigns";
import "./dead.css";
import "./board.css";
import "./request.css";
import "./nodes/nodes.css";

const NEW_NODE: NodeConfig = {
  generationType: "transition",
  purpose: "gap_fill",
  strategy: "once",
  seedSource: "fixed",
};

export function Nodes() {
  const search = useSearch({ from: "/nodes" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const graphs = useGraphs();
  const rows = useNodeRows();
  // Which graph is shown is known when the list is: loading twice would drop what was edited in between.
  const chosen = search.graph ?? (graphs.isPending ? undefined : (graphs.data?.[0]?.id ?? null));
  const graphId = chosen ?? null;
  const designs = useDesigns(chosen);
  const { draft, states } = designs;
  const [picked, setPicked] = useState<string | null>(null);
  const graph = draft.graph;
  const figures = useMemo(() => new Map(rows.data?.map((row) => [row.id, row.figures])), [rows.data]);

  const go = (change: { graph?: string; node?: string; tab?: string }) =>
    void navigate({ to: "/nodes", search: { ...search, ...(graphId && { graph: graphId }), ...change } });
  const badgeOf = useCallback(
    (id: string): Badge => {
      const state = states[id];
      if (state?.disabled) return "disabled";
      if (state?.report === undefined) return rows.data?.find((row) => row.id === id)?.status ?? "ok";
      if (state.report.errors.length > 0) return "errors";
      return state.report.warnings.length > 0 ? "warnings" : "ok";
    },
    [states, rows.data],
  );
  const change = (next: Partial<Draft>, merge = false) => designs.change({ ...draft, ...next }, merge);
  const changeGraph = (next: Graph) => change({ graph: next });

  const element = graph?.nodes.find((each) => each.id === picked);
  const nodeId =
    element?.type === "generation"
      ? (element.node ?? null)
      : element === undefined
        ? (search.node ?? null)
        : null;
  const node = nodeId === null ? undefined : draft.nodes[nodeId];

  const place =
    graph && element?.type === "generation"
      ? {
          request: edits.requestOf(graph, element),
          onPrompt: (prompt: string) => {
            const { prompt: _, ...others } = element.request ?? {};
            const request = prompt === "" ? others : { ...others, prompt };
            change({ graph: edits.replace(graph, { ...element, request }) }, true);
          },
        }
      : undefined;

  const { inspect } = designs;
  const unknown = nodeId !== null && states[nodeId] !== undefined && states[nodeId]?.report === undefined;
  useEffect(() => {
    if (unknown && nodeId !== null) inspect(nodeId);
  }, [unknown, nodeId, inspect]);

  const select = (id: string | null) => {
    setPicked(id);
    const found = graph?.nodes.find((each) => each.id === id);
    const name = found?.type === "generation" && graph ? nodeOf(graph, found) : null;
    if (name !== null) go({ node: name });
  };
  useShortcuts({
    "mod+z": () => designs.undo(),
    "mod+shift+z": () => designs.redo(),
    "mod+y": () => designs.redo(),
  });

  const addScene = () => {
    if (graph === null) return;
    const [added, id] = edits.addScene(graph, picked);
    changeGraph(added);
    setPicked(id);
  };
  const addNode = (config: NodeConfig = NEW_NODE, base?: string) => {
    const { before, after } = graph ? edits.findGap(graph, picked) : { before: null, after: null };
    const between = before && after ? toId(`${before.id}_to_${after.id}`) : "node";
    const name = freshId(base ?? between, Object.keys(draft.nodes));
    const nodes = { ...draft.nodes, [name]: { ...config, id: name } };
    if (graph === null) change({ nodes });
    else {
      const [added, id] = edits.addGeneration(graph, picked, name);
      change({ nodes, graph: added });
      setPicked(id);
    }
    go({ node: name, tab: "purpose" });
  };
  const connect = (source: string, target: string) => {
    if (graph !== null) changeGraph(edits.connect(graph, source, target));
  };
  const removeFromGraph = (ids: string[], edges: string[]) => {
    if (graph === null) return;
    changeGraph(edits.removeFrom(graph, ids, edges));
    setPicked(null);
  };
  const createGraph = () => {
    const id = freshId("scenes", graphs.data?.map((each) => each.id) ?? []);
    const first: Graph = {
      nodes: [
        { type: "scene", id: "start", title: "Start", mood: "calm", position: { x: 0, y: 0 } },
        { type: "scene", id: "end", title: "End", mood: "tense", position: { x: 560, y: 0 } },
      ],
      edges: [],
    };
    put(`/api/v1/graphs/${id}`, first, { headers: { "If-None-Match": "*" } })
      .then(() => queries.invalidateQueries({ queryKey: ["graphs"] }))
      .then(() => go({ graph: id }), designs.setError);
  };
  const importFile = async (file: File) => {
    const yaml = /\.ya?ml$/i.test(file.name);
    const name = toId(file.name.replace(/\.\w+$/, ""));
    try {
      const response = await fetch(`/api/v1/graphs/import?graph=${name}`, {
        method: "POST",
        credentials: "same-origin",
        headers: { "Content-Type": yaml ? "application/yaml" : "application/json" },
        body: await file.text(),
      });
      if (!response.ok) throw new Error(((await response.json()) as { detail?: string }).detail);
      await queries.invalidateQueries({ queryKey: ["graphs"] });
      go({ graph: name });
    } catch (failure) {
      designs.setError(failure);
    }
  };
  const fix = (each: Finding["fixes"][number]) => {
    if (nodeId !== null && node !== undefined) {
      change({ nodes: { ...draft.nodes, [nodeId]: applyFix(node, each.patch) as NodeConfig } });
    }
  };
  const deleteNode = async () => {
    if (nodeId === null) return;
    if (element !== undefined) {
      removeFromGraph([element.id], []);
      return;
    }
    const etag = states[nodeId]?.etag;
    try {
      await remove(`/api/v1/nodes/${encodeURIComponent(nodeId)}`, {
        headers: etag ? { "If-Match": etag } : {},
      });
      location.assign(graphId ? `/nodes?graph=${graphId}` : "/nodes");
    } catch (failure) {
      designs.setError(failure);
    }
  };

  const cards = useMemo(
    () =>
      new Map(
        graph?.nodes.flatMap((each) => {
          if (each.type !== "generation") return [];
          const name = nodeOf(graph, each) ?? each.id;
          const state = states[name];
          return [
            [
              each.id,
              {
                name,
                kind: kindOf(draft.nodes[name]),
                badge: draft.nodes[name] === undefined ? ("errors" as const) : badgeOf(name),
                changed: state !== undefined && state.published !== null && state.published !== state.version,
                figures: figures.get(name),
              },
            ] as const,
          ];
        }),
      ),
    [graph, draft.nodes, states, figures, badgeOf],
  );
  const problems = Object.keys(draft.nodes).filter((id) => badgeOf(id) === "errors");

  return (
    <>
      <div className="page-head">
        <h1>Nodes</h1>
        {graphs.data && graphs.data.length > 0 && (
          <select
            className="input"
            aria-label="Scene graph"
            value={graphId ?? ""}
            onChange={(event) => {
              setPicked(null);
              void navigate({ to: "/nodes", search: { graph: event.target.value } });
            }}
          >
            {graphs.data.map((each) => (
              <option key={each.id} value={each.id}>
                {each.title ?? each.id}
              </option>
            ))}
          </select>
        )}
        <span className="faint" role="status">
          {designs.conflict ? "conflict" : designs.saving ? "saving…" : designs.loaded ? "saved" : ""}
        </span>
        <div className="grow" />
        <button type="button" className="button quiet" onClick={designs.undo} disabled={!designs.canUndo}>
          Undo
        </button>
        <button type="button" className="button quiet" onClick={designs.redo} disabled={!designs.canRedo}>
          Redo
        </button>
        <label className="button quiet">
          Import
          <input
            type="file"
            className="hidden"
            accept=".json,.yaml,.yml"
            onChange={(event) => {
              const file = event.target.files?.[0];
              if (file) void importFile(file);
              event.target.value = "";
            }}
          />
        </label>
        <a
          className="button quiet"
          href={graphId ? `/api/v1/graphs/${graphId}/export?format=yaml` : "/api/v1/nodes/export?format=yaml"}
          download={`${graphId ?? "nodes"}.yaml`}
        >
          Export
        </a>
        <button type="button" className="button" onClick={createGraph}>
          New graph
        </button>
        {graph && (
          <button type="button" className="button" onClick={addScene}>
            Add scene
          </button>
        )}
        {(graph || Object.keys(draft.nodes).length > 0) && (
          <button type="button" className="button main" onClick={() => addNode()}>
            Add node
          </button>
        )}
      </div>
      {designs.error !== null && <ErrorNote error={designs.error} />}
      {graphs.error && <ErrorNote error={graphs.error} />}
      {designs.conflict && <ConflictCard conflict={designs.conflict} onDecide={designs.decide} />}
      {problems.length > 0 && (
        <p className="problems">
          <span className="nothing">
            {problems.length === 1 ? "One node has errors:" : `${problems.length} nodes have errors:`}
          </span>{" "}
          {problems.map((id) => (
            <button
              key={id}
              type="button"
              className="button quiet"
              onClick={() => {
                setPicked(
                  graph?.nodes.find((each) => each.type === "generation" && nodeOf(graph, each) === id)?.id ??
                    null,
                );
                go({ node: id, tab: "test" });
              }}
            >
              {id}
            </button>
          ))}
        </p>
      )}
      <div className={node || element?.type === "scene" ? "nodes-columns with-panel" : "nodes-columns"}>
        {graph ? (
          <Canvas
            key={graphId}
            graph={graph}
            cards={cards}
            selected={picked}
            onSelect={select}
            onMove={(places) => changeGraph(edits.move(graph, places))}
            onConnect={connect}
            onDelete={removeFromGraph}
          />
        ) : (
          <NodeGrid
            ids={Object.keys(draft.nodes)}
            badgeOf={badgeOf}
            nodes={draft.nodes}
            figures={figures}
            onOpen={(id) => go({ node: id })}
            onCreate={createGraph}
            loaded={designs.loaded}
          />
        )}
        {element?.type === "scene" && graph && (
          <ScenePanel
            key={element.id}
            scene={element}
            graph={graph}
            onChange={(scene, merge) => change({ graph: edits.replace(graph, scene) }, merge)}
            onConnect={(target) => connect(element.id, target)}
            onAfter={() => addNode()}
            onRemove={() => removeFromGraph([element.id], [])}
          />
        )}
        {node !== undefined && nodeId !== null && (
          <div className="stack">
            <NodePanel
              key={nodeId}
              id={nodeId}
              node={node}
              state={states[nodeId]}
              badge={badgeOf(nodeId)}
              figures={figures.get(nodeId)}
              tab={
                search.tab !== undefined && (TABS as readonly string[]).includes(search.tab)
                  ? search.tab
                  : "purpose"
              }
              onTab={(tab) => go({ tab })}
              place={place}
              onChange={(next, merge) => change({ nodes: { ...draft.nodes, [nodeId]: next } }, merge)}
              onFix={fix}
              onAct={(action) => designs.whenSaved(() => void designs.act(nodeId, action))}
              whenSaved={designs.whenSaved}
              onDuplicate={() => addNode(node, nodeId)}
              onDelete={() => void deleteNode()}
              onClose={() => {
                setPicked(null);
                void navigate({ to: "/nodes", search: graphId ? { graph: graphId } : {} });
              }}
            />
            {element !== undefined && graph && (
              <ConnectTo
                graph={graph}
                from={element.id}
                onConnect={(target) => connect(element.id, target)}
              />
            )}
          </div>
        )}
      </div>
    </>
  );
}
