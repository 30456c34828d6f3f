// Places for the elements of a graph that has none.

import dagre from "@dagrejs/dagre";
import { CARD_SIZE, SCENE_SIZE } from "./graphEdits";
import type { Graph, Position } from "./model";

/** The place of each element, from left to right along the edges. */
export function arrange(graph: Graph): Map<string, Position> {
  const layout = new dagre.graphlib.Graph({ directed: true });
  layout.setGraph({ rankdir: "LR", nodesep: 40, ranksep: 70 });
  layout.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes)
    layout.setNode(node.id, { ...(node.type === "scene" ? SCENE_SIZE : CARD_SIZE) });
  for (const edge of graph.edges) {
    if (layout.hasNode(edge.source) && layout.hasNode(edge.target)) layout.setEdge(edge.source, edge.target);
  }
  dagre.layout(layout);
  return new Map(
    graph.nodes.map((node) => {
      const { x, y } = layout.node(node.id);
      const size = node.type === "scene" ? SCENE_SIZE : CARD_SIZE;
      return [node.id, { x: Math.round(x - size.width / 2), y: Math.round(y - size.height / 2) }];
    }),
  );
}
