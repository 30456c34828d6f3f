import { expect, it } from "vitest";
import type { Token } from "./boardState";
import { place } from "./lanePlaces";

const token = (id: number, asked: number): Token => ({
  id: `r${id}`,
  kind: "layout",
  lane: "freeform-gen",
  asked,
  entered: asked,
  deadline: asked + 60_000,
  attempt: 1,
  ended: null,
});

it("requests at the same place are counted on one of them", () => {
  const tokens = Array.from({ length: 39 }, (_, id) => token(id, 0));
  const placed = place(tokens, 0, 600);
  expect(placed.filter((each) => each.row !== null)).toHaveLength(2);
  expect(placed.map((each) => each.more).reduce((sum, more) => sum + more)).toBe(37);
  expect(placed.find((each) => each.more > 0)?.row).toBe(1);
});

it("requests apart from each other are all named", () => {
  const placed = place([token(1, 0), token(2, 30_000), token(3, 55_000)], 60_000, 900);
  expect(placed.every((each) => each.row !== null && each.more === 0)).toBe(true);
});
