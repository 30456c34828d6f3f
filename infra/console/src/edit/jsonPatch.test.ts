import { describe, expect, it } from "vitest";
import { diff, guarded, type Json, type Operation, resolve, same } from "./jsonPatch";

/** The documents that a patch makes, step by step, as RFC 6902 has it. */
function apply(document: Json, operations: Operation[]): Json {
  let root = structuredClone(document);
  for (const { op, path, value } of operations) {
    const parts = path
      .split("/")
      .slice(1)
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = parts.pop();
    if (op === "test") {
      expect(same(resolve(root, path), value)).toBe(true);
    } else if (last === undefined) {
      root = structuredClone(value as Json);
    } else {
      // biome-ignore lint/suspicious/noExplicitAny: objects and lists alike
      let place: any = root;
      for (const part of parts) place = place[part];
      if (op === "remove") delete place[last];
      else place[last] = structuredClone(value);
    }
  }
  return root;
}

let seed = 7;
const random = (below: number): number => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return seed % below;
};
function document(depth: number): Json {
  const kind = random(depth > 0 ? 7 : 4);
  if (kind === 0) return null;
  if (kind === 1) return random(2) === 0;
  if (kind === 2) return random(5);
  if (kind === 3) return ["a", "b/c", "~", ""][random(4)] as string;
  if (kind === 4) return Array.from({ length: random(4) }, () => document(depth - 1));
  const found: { [name: string]: Json } = {};
  for (const name of ["x", "y/z", "~k", ""].slice(random(4))) found[name] = document(depth - 1);
  return found;
}

describe("a patch", () => {
  it("makes one document of another, whatever they are", () => {
    for (let round = 0; round < 3000; round += 1) {
      const [before, after] = [document(3), document(3)];
      const operations = diff(before, after);
      expect(same(apply(before, operations), after)).toBe(true);
      expect(operations.length === 0).toBe(same(before, after));
    }
  });

  it("changes only what differs", () => {
    const before = { prompt: "a", params: { temperature: 9, seed: 1 }, old: 1 };
    const after = { prompt: "a", params: { temperature: 0.9, seed: 1 }, tags: ["x"] };
    expect(diff(before, after)).toEqual([
      { op: "replace", path: "/params/temperature", value: 0.9 },
      { op: "remove", path: "/old" },
      { op: "add", path: "/tags", value: ["x"] },
    ]);
  });

  it("tests what it changes, for many documents", () => {
    const before = { a: 1, b: 2 };
    expect(guarded(before, diff(before, { b: 3, c: 4 }))).toEqual([
      { op: "test", path: "/a", value: 1 },
      { op: "test", path: "/b", value: 2 },
      { op: "remove", path: "/a" },
      { op: "replace", path: "/b", value: 3 },
      { op: "add", path: "/c", value: 4 },
    ]);
  });
});
