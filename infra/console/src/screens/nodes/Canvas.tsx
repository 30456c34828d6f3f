// The scene graph: scenes, the generations between them, and their numbers on the nodes.

import {
  Background,
  type Connection,
  Controls,
  type Edge as FlowEdge,
  type Node as FlowNode,
  Handle,
  MarkerType,
  type NodeChange,
  type NodeProps,
  type NodeTypes,
  ReactFlow,
  type ReactFlowInstance,
  Position as Side,
} from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { accentOf } from "../../api/model";
import { duration, percent } from "../../ui/format";
import { CARD_SIZE, nameEdge, SCENE_SIZE } from "./graphEdits";
import type { Badge, Figures, Graph, Position, Scene } from "./model";
import "./canvas.css";

interface SceneData extends Record<string, unknown> {
  scene: Scene;
}
interface CardData extends Record<string, unknown> {
  name: string;
  kind: string;
  badge: Badge;
  changed: boolean;
  figures: Figures | undefined;
}

const BADGES: Record<Badge, [string, string]> = {
  ok: ["live", "ok"],
  warnings: ["standin", "warnings"],
  errors: ["nothing", "errors"],
  disabled: ["faint", "disabled"],
};

/** The last outcomes, oldest first, one bar each. */
export function Strip({ figures }: { figures: Figures | undefined }) {
  const latest = [...(figures?.latest ?? [])].reverse();
  const said = latest.map((outcome) => outcome.status).join(", ");
  return (
    <span className="strip" role="img" aria-label={said === "" ? "no outcome yet" : `last outcomes: ${said}`}>
      {latest.map((outcome) => (
        <i
          key={outcome.request_id}
          className={accentOf(outcome.origin) ?? "faint"}
          title={`${outcome.status}${outcome.error_code ? ` ${outcome.error_code}` : ""}`}
        />
      ))}
    </span>
  );
}

export function Numbers({ figures }: { figures: Figures | undefined }) {
  const cells: [string, string, string][] = [
    ["p95", duration(figures?.latency_ms?.p95), ""],
    ["cost", figures?.cost === null || figures === undefined ? "–" : figures.cost.toFixed(2), ""],
    ["cache", percent(figures?.cache_hit_rate), (figures?.cache_hit_rate ?? 0) > 0 ? "cache" : ""],
    ["stand-ins", percent(figures?.stand_in_rate), (figures?.stand_in_rate ?? 0) > 0 ? "standin" : ""],
  ];
  return (
    <dl className="numbers">
      {cells.map(([name, value, accent]) => (
        <div key={name}>
          <dd className={accent}>{value}</dd>
          <dt>{name}</dt>
        </div>
      ))}
    </dl>
  );
}

export const BadgeLabel = ({ badge }: { badge: Badge }) => (
  <span className={`origin ${BADGES[badge][0]}`}>{BADGES[badge][1]}</span>
);

const SceneNode = memo(function SceneNode({ data, selected }: NodeProps<FlowNode<SceneData>>) {
  return (
    <div className={selected ? "scene-node selected" : "scene-node"}>
      <Handle type="target" position={Side.Left} />
      <b className="cut">{data.scene.title ?? data.scene.id}</b>
      <span className="dim cut">{data.scene.mood ?? "no mood"}</span>
      <Handle type="source" position={Side.Right} />
    </div>
  );
});

const CardNode = memo(function CardNode({ data, selected }: NodeProps<FlowNode<CardData>>) {
  return (
    <div className={`card-node ${data.badge}${selected ? " selected" : ""}`}>
      <Handle type="target" position={Side.Left} />
      <div className="card-node-head">
        <b className="cut">{data.name}</b>
        <BadgeLabel badge={data.badge} />
      </div>
      <span className="faint cut">
        {data.kind}
        {data.changed && ", changed since it was published"}
      </span>
      <Numbers figures={data.figures} />
      <Strip figures={data.figures} />
      <Handle type="source" position={Side.Right} />
    </div>
  );
});

const TYPES: NodeTypes = { scene: SceneNode, card: CardNode };

const FIT = { maxZoom: 1, padding: 0.15 };
const HANDLE_PX = 9;
const handlesOf = (size: { width: number; height: number }) => {
  const y = (size.height - HANDLE_PX) / 2;
  const box = { width: HANDLE_PX, height: HANDLE_PX, y };
  return [
    { ...box, type: "target" as const, position: Side.Left, x: -HANDLE_PX / 2 },
    { ...box, type: "source" as const, position: Side.Right, x: size.width - HANDLE_PX / 2 },
  ];
};

/** Places for nodes that have none; `null`: all have one, or they are not there yet. */
function usePlaces(graph: Graph): ReadonlyMap<string, Position> | null {
  const [placed, setPlaced] = useState<ReadonlyMap<string, Position> | null>(null);
  useEffect(() => {
    let current = true;
    if (graph.nodes.every((node) => node.position)) setPlaced(null);
    // Graphs that are drawn here and imported ones have places: few users need what finds them.
    else void import("./arrange").then(({ arrange }) => current && setPlaced(arrange(graph)));
    return () => {
      current = false;
    };
  }, [graph]);
  return placed;
}

export function Canvas({
  graph,
  cards,
  selected,
  onSelect,
  onMove,
  onConnect,
  onDelete,
}: {
  graph: Graph;
  /** What a generation shows, by its id in the graph. */
  cards: Map<string, CardData>;
  selected: string | null;
  onSelect: (id: string | null) => void;
  onMove: (places: Map<string, Position>) => void;
  onConnect: (source: string, target: string) => void;
  onDelete: (nodes: string[], edges: string[]) => void;
}) {
  // Places while something is dragged; a drop, and an arrow key, is a change of the graph.
  const [moving, setMoving] = useState<ReadonlyMap<string, Position>>(new Map());
  const [edge, setEdge] = useState<string | null>(null);
  const placed = usePlaces(graph);
  const nodes = useMemo(
    (): FlowNode[] =>
      graph.nodes.map((node) => {
        const base = {
          id: node.id,
          position: moving.get(node.id) ?? node.position ?? placed?.get(node.id) ?? { x: 0, y: 0 },
          selected: node.id === selected,
        };
        const card = cards.get(node.id);
        const size = node.type === "scene" || card === undefined ? SCENE_SIZE : CARD_SIZE;
        // Sizes and handles are known: edges need not wait until the browser has measured them.
        const known = { ...size, measured: size, handles: handlesOf(size) };
        return node.type === "scene" || card === undefined
          ? { ...base, ...known, type: "scene", data: { scene: node }, ariaLabel: `scene ${node.id}` }
          : {
              ...base,
              ...CARD_SIZE,
              type: "card",
              data: card,
              ariaLabel: `generation ${card.name}, ${card.badge}`,
            };
      }),
    [graph, cards, selected, moving, placed],
  );
  const edges = useMemo(
    (): FlowEdge[] =>
      graph.edges.map((each) => ({
        id: nameEdge(each),
        source: each.source,
        target: each.target,
        selected: nameEdge(each) === edge,
        markerEnd: { type: MarkerType.ArrowClosed, width: 16, height: 16, color: "var(--line-strong)" },
      })),
    [graph, edge],
  );

  const change = (changes: NodeChange[]) => {
    const dragged = new Map(moving);
    const dropped = new Map<string, Position>();
    for (const each of changes) {
      if (each.type === "position" && each.position) {
        const place = { x: Math.round(each.position.x), y: Math.round(each.position.y) };
        if (each.dragging) dragged.set(each.id, place);
        else {
          dropped.set(each.id, place);
          dragged.delete(each.id);
        }
      } else if (each.type === "select" && each.selected) onSelect(each.id);
    }
    // Sizes that the browser measured are no change of the graph.
    if (changes.some((each) => each.type === "position")) setMoving(dragged);
    if (dropped.size > 0) onMove(dropped);
  };
  const box = useRef<HTMLDivElement>(null);
  const [flow, setFlow] = useState<ReactFlowInstance | null>(null);
  const shown = graph.nodes.length;
  // What is new may be out of sight, and a panel that opens takes room.
  useEffect(() => {
    if (flow === null || box.current === null) return;
    const fit = () => void flow.fitView(FIT);
    const observer = new ResizeObserver(fit);
    observer.observe(box.current);
    if (shown > 0 || placed !== null) fit();
    return () => observer.disconnect();
  }, [flow, shown, placed]);
  const empty = !graph.nodes.some((node) => node.type === "generation");
  return (
    <div className="canvas card" ref={box}>
      {empty && (
        <p className="canvas-hint">“Add node” puts a node between the scenes: what is generated there.</p>
      )}
      <ReactFlow
        onInit={setFlow}
        nodes={nodes}
        edges={edges}
        nodeTypes={TYPES}
        onNodesChange={change}
        onEdgesChange={(changes) => {
          for (const each of changes) if (each.type === "select") setEdge(each.selected ? each.id : null);
        }}
        onConnect={({ source, target }: Connection) => onConnect(source, target)}
        onDelete={({ nodes: gone, edges: cut }) =>
          onDelete(
            gone.map(({ id }) => id),
            cut.map(({ id }) => id),
          )
        }
        onPaneClick={() => onSelect(null)}
        deleteKeyCode={["Delete", "Backspace"]}
        fitView
        fitViewOptions={FIT}
        minZoom={0.2}
        onlyRenderVisibleElements
        aria-label="Scene graph"
      >
        <Background gap={20} color="var(--line)" />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}
