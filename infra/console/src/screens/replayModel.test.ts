import { describe, expect, it } from "vitest";
import { type Draft, groupRefusals, type Item, progressOf, toCommand, toOrder } from "./replayModel";

const draft: Draft = {
  of: "requests",
  ids: null,
  filter: {},
  patch: [],
  from: "",
  fresh: false,
  again: false,
  rate: "",
  tokens: "",
  money: "",
};

describe("an order", () => {
  it("names what it is about, or says that it is all", () => {
    expect(toOrder(draft)).toEqual({ of: "requests", all: true });
    expect(toOrder({ ...draft, filter: { status: "fail_fallback", text: "a cave" } })).toEqual({
      of: "requests",
      filter: { status: "fail_fallback", text: "a cave" },
    });
    expect(toOrder({ ...draft, of: "letters", ids: ["3", "9"] })).toEqual({ of: "letters", ids: [3, 9] });
  });

  it("has limits that are numbers only", () => {
    expect(toOrder({ ...draft, rate: "20", tokens: "1e4", money: "x" })).toMatchObject({
      rate: 20,
      budget: { tokens: 10_000 },
    });
    expect(toOrder({ ...draft, rate: "-1", tokens: "" })).toEqual({ of: "requests", all: true });
  });

  it("is the same as a command", () => {
    expect(toCommand({ ...draft, filter: { since: "1h" }, rate: "20", from: "structuring" })).toBe(
      "understudy replay --since 1h --from structuring --rate 20/s",
    );
    expect(toCommand({ ...draft, of: "letters", ids: ["3"], patch: [{ op: "remove", path: "/x" }] })).toBe(
      `understudy dead replay 3 --patch '[{"op":"remove","path":"/x"}]'`,
    );
  });
});

describe("a plan", () => {
  const item = (state: string, code: string | null, reason: string | null) =>
    ({ state, code, reason }) as Item;

  it("groups what is refused", () => {
    const groups = groupRefusals([
      item("refused", "GEN_X", "a"),
      item("planned", null, null),
      item("refused", "GEN_Y", "b"),
      item("refused", "GEN_Y", "b"),
    ]);
    expect(groups.map(([reason, items]) => [reason, items.length])).toEqual([
      ["GEN_Y b", 2],
      ["GEN_X a", 1],
    ]);
  });

  it("knows how far a job is", () => {
    expect(progressOf({ published: 3, planned: 1, refused: 9, changed: 1 })).toEqual({ done: 4, all: 5 });
    expect(progressOf(undefined)).toEqual({ done: 0, all: 0 });
  });
});
