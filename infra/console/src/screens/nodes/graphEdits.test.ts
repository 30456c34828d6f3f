import { describe, expect, it } from "vitest";
import { addGeneration, addScene, connect, requestOf, targetsOf } from "./graphEdits";
import type { Generation, Graph } from "./model";

const graph: Graph = {
  nodes: [
    { type: "scene", id: "start", title: "Start", mood: "calm", position: { x: 0, y: 0 } },
    { type: "scene", id: "end", position: { x: 560, y: 0 } },
  ],
  edges: [],
};

describe("something new", () => {
  it("goes between two scenes that nothing connects", () => {
    const [made, id] = addGeneration(graph, null, "bridge");
    expect(id).toBe("bridge");
    expect(made.nodes.at(-1)).toEqual({
      type: "generation",
      id: "bridge",
      node: "bridge",
      position: { x: 260, y: -24 },
    });
    expect(made.edges).toEqual([
      { source: "start", target: "bridge" },
      { source: "bridge", target: "end" },
    ]);
  });

  it("follows the last scene where there is no gap", () => {
    const [first] = addGeneration(graph, null, "bridge");
    const [made, id] = addGeneration(first, null, "bridge");
    expect(made.edges.at(-1)).toEqual({ source: "end", target: id });
  });

  it("follows the chosen scene, which leads elsewhere already", () => {
    const [first] = addGeneration(graph, null, "bridge");
    const [made, id] = addGeneration(first, "start", "bridge");
    expect(made.edges.at(-1)).toEqual({ source: "start", target: id });
    expect(made.edges).toHaveLength(3);
  });

  it("is a scene after a generation, never a second generation", () => {
    const [first] = addGeneration(graph, null, "bridge");
    const [second, id] = addGeneration(first, "bridge", "bridge");
    expect(second.edges).not.toContainEqual({ source: "bridge", target: id });
    const [third, scene] = addScene(first, "bridge");
    expect(third.edges).toContainEqual({ source: "bridge", target: scene });
  });
});

it("a generation leads to scenes alone", () => {
  const [one] = addGeneration(graph, null, "bridge");
  const [two] = addGeneration(one, "end", "second");
  expect(targetsOf(two, "bridge").map((each) => each.id)).toEqual(["start"]);
  expect(connect(two, "bridge", "second")).toBe(two);
});

it("a generation's request has the fields of the graph, its own, and its scenes", () => {
  const [made] = addGeneration({ ...graph, request: { seed: 7, node: "other" } }, null, "bridge");
  const generation: Generation = { type: "generation", id: "bridge", request: { prompt: "A phone rings." } };
  expect(requestOf(made, generation)).toEqual({
    seed: 7,
    prompt: "A phone rings.",
    scene_from: { id: "start", title: "Start", mood: "calm" },
    scene_to: { id: "end" },
  });
});
