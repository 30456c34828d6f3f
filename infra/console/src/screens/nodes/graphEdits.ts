// Edits of a scene graph: each gives a new graph, and none that the gateway would refuse.

import {
  type Edge,
  freshId,
  type Generation,
  type Graph,
  type Position,
  placeAfter,
  type Scene,
} from "./model";

/** Pixels of a scene and of a generation on the canvas. */
export const SCENE_SIZE = { width: 190, height: 64 };
export const CARD_SIZE = { width: 230, height: 112 };

export const nameEdge = (edge: Edge): string => `${edge.source}→${edge.target}`;

const xOf = (node: { position?: Position | null }): number => node.position?.x ?? 0;
const scenesOf = (graph: Graph): Scene[] =>
  graph.nodes
    .filter((node): node is Scene => node.type === "scene")
    .sort((left, right) => xOf(left) - xOf(right));

/** The scenes that something new goes between: after the chosen scene, into the first gap, or after the last scene. */
export function findGap(graph: Graph, picked: string | null): { before: Scene | null; after: Scene | null } {
  const scenes = scenesOf(graph);
  const chosen = scenes.find((scene) => scene.id === picked);
  const isLast = (scene: Scene) => !graph.edges.some((edge) => edge.source === scene.id);
  const isFirst = (scene: Scene) => !graph.edges.some((edge) => edge.target === scene.id);
  const next = (before: Scene) =>
    scenes.find((scene) => scene.id !== before.id && xOf(scene) > xOf(before) && isFirst(scene)) ?? null;
  const gap = scenes.find((scene) => isLast(scene) && next(scene) !== null);
  const before = chosen ?? gap ?? scenes.findLast(isLast) ?? null;
  return { before, after: before !== null && isLast(before) ? next(before) : null };
}

/** The middle between two scenes where there is room for a generation. */
function placeBetween(before: Scene, after: Scene): Position | null {
  if (!before.position || !after.position) return null;
  const left = before.position.x + SCENE_SIZE.width;
  if (after.position.x - left < CARD_SIZE.width) return null;
  const middle = (before.position.y + after.position.y + SCENE_SIZE.height - CARD_SIZE.height) / 2;
  return { x: Math.round((left + after.position.x - CARD_SIZE.width) / 2), y: Math.round(middle) };
}

/** The graph with a generation of a node in its gap, and the generation's id. */
export function addGeneration(graph: Graph, picked: string | null, node: string): [Graph, string] {
  const { before, after } = findGap(graph, picked);
  const id = freshId(
    node,
    graph.nodes.map((each) => each.id),
  );
  const place = before && after && placeBetween(before, after);
  const position = place ?? placeAfter(graph, before?.id ?? picked);
  const added: Generation = { type: "generation", id, node, position };
  const edges = [
    ...(before ? [{ source: before.id, target: id }] : []),
    ...(after ? [{ source: id, target: after.id }] : []),
  ];
  return [{ ...graph, nodes: [...graph.nodes, added], edges: [...graph.edges, ...edges] }, id];
}

/** The graph with a new scene after what is chosen, and the scene's id. */
export function addScene(graph: Graph, picked: string | null): [Graph, string] {
  const id = freshId(
    "scene",
    graph.nodes.map((each) => each.id),
  );
  const scene: Scene = { type: "scene", id, title: "New scene", position: placeAfter(graph, picked) };
  const added = { ...graph, nodes: [...graph.nodes, scene] };
  return [picked === null ? added : connect(added, picked, id), id];
}

/** What an element can lead to: between two generations is a scene. */
export const targetsOf = (graph: Graph, source: string): Graph["nodes"] => {
  const from = graph.nodes.find((each) => each.id === source);
  return graph.nodes.filter(
    (each) =>
      from !== undefined &&
      each.id !== source &&
      (each.type === "scene" || from.type === "scene") &&
      !graph.edges.some((edge) => edge.source === source && edge.target === each.id),
  );
};

export const connect = (graph: Graph, source: string, target: string): Graph =>
  targetsOf(graph, source).some((each) => each.id === target)
    ? { ...graph, edges: [...graph.edges, { source, target }] }
    : graph;

/** The graph without some elements and edges. */
export const removeFrom = (graph: Graph, ids: string[], edges: string[]): Graph => ({
  ...graph,
  nodes: graph.nodes.filter((each) => !ids.includes(each.id)),
  edges: graph.edges.filter(
    (edge) => !edges.includes(nameEdge(edge)) && !ids.includes(edge.source) && !ids.includes(edge.target),
  ),
});

export const replace = (graph: Graph, element: Graph["nodes"][number]): Graph => ({
  ...graph,
  nodes: graph.nodes.map((each) => (each.id === element.id ? element : each)),
});

export const move = (graph: Graph, places: ReadonlyMap<string, Position>): Graph => ({
  ...graph,
  nodes: graph.nodes.map((each) => ({ ...each, position: places.get(each.id) ?? each.position ?? null })),
});

/** The fields of a generation's request, with the scenes that it is between. */
export function requestOf(graph: Graph, generation: Generation): Record<string, unknown> {
  const scene = (id: string | undefined) => {
    const found = graph.nodes.find((each) => each.id === id && each.type === "scene");
    if (found === undefined) return undefined;
    const { type: _, position: __, ...told } = found;
    return told;
  };
  const before = scene(graph.edges.find((edge) => edge.target === generation.id)?.source);
  const after = scene(graph.edges.find((edge) => edge.source === generation.id)?.target);
  const { node: _, ...fields } = { ...graph.request, ...generation.request };
  return { ...fields, ...(before && { scene_from: before }), ...(after && { scene_to: after }) };
}
