import { describe, expect, it } from "vitest";
import {
  type Draft,
  groupRefusals,
  type Item,
  isGuarded,
  isMoving,
  type Job,
  type JobItem,
  matchesOutcome,
  outcomesOf,
  partsOf,
  progressOf,
  readPatch,
  readValue,
  toCommand,
  toOrder,
} from "./replayModel";

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

const origin = "http://127.0.0.1:8420";

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
    expect(toCommand({ ...draft, filter: { since: "1h" }, rate: "20", from: "structuring" }, origin)).toBe(
      "understudy replay --since 1h --from structuring --rate 20/s --dry-run",
    );
    expect(
      toCommand({ ...draft, of: "letters", ids: ["3"], patch: [{ op: "remove", path: "/x" }] }, origin),
    ).toBe(
      `understudy dead replay 3 --dry-run --patch /dev/stdin <<'END'\n[{"op":"remove","path":"/x"}]\nEND`,
    );
    expect(toCommand({ ...draft, tokens: "5000", money: "1.5" }, origin, "0a1b")).toBe(
      "understudy replay --all --budget 5000tokens --budget 1.5 --plan 0a1b",
    );
    expect(toCommand({ ...draft, ids: ["a", "b"] }, origin)).toContain(
      `-d '{"of":"requests","ids":["a","b"],"dry_run":true}'`,
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

describe("an edit", () => {
  it("is read, or says why it cannot be", () => {
    expect(readPatch(" ")).toEqual([]);
    expect(readPatch('[{"op": "remove", "path": "/x"}]')).toEqual([{ op: "remove", path: "/x" }]);
    expect(readPatch("[")).toMatch(/JSON/);
    expect(readPatch('{"op": "remove", "path": "/x"}')).toMatch(/list of operations/);
    expect(readPatch("[1]")).toMatch(/list of operations/);
  });

  it("takes values as JSON, or as text", () => {
    expect([readValue("0.9"), readValue("true"), readValue("a cave"), readValue('"1"')]).toEqual([
      0.9,
      true,
      "a cave",
      "1",
    ]);
  });

  it("says first which requests it is for", () => {
    expect(isGuarded([])).toBe(true);
    expect(isGuarded([{ op: "remove", path: "/x" }])).toBe(false);
    expect(isGuarded([{ op: "test", path: "/x", value: 1 }])).toBe(true);
  });
});

describe("a job", () => {
  const spent = { ended: 3, tokens: 10, money: 0, statuses: { success: 2, fail_fallback: 1 } };

  it("is drawn by what its requests are at", () => {
    const parts = partsOf({ counts: { published: 5, planned: 4, refused: 7, changed: 1 }, spent });
    expect(parts.map(({ name, number, accent }) => [name, number, accent])).toEqual([
      ["success", 2, "live"],
      ["fail_fallback", 1, "standin"],
      ["running", 2, "running"],
      ["not published", 1, "nothing"],
      ["left", 4, "left"],
    ]);
    expect(partsOf({})).toEqual([]);
  });

  it("moves until what it has published has ended", () => {
    const job = (state: Job["state"], published: number) =>
      ({ state, counts: { published }, spent }) as unknown as Job;
    expect([isMoving(job("running", 3)), isMoving(job("done", 5)), isMoving(job("done", 3))]).toEqual([
      true,
      true,
      false,
    ]);
    expect([isMoving(job("paused", 5)), isMoving(job("stopped", 3))]).toEqual([true, false]);
  });

  it("counts its outcomes", () => {
    const item = (state: string, origin: string | null) =>
      ({ state, outcome: origin === null ? null : { origin } }) as JobItem;
    const items = [
      item("published", "live"),
      item("published", null),
      item("undone", "live"),
      item("refused", null),
    ];
    expect(outcomesOf(items)).toEqual([
      ["live", 2],
      ["", 1],
    ]);
    expect(items.filter((each) => matchesOutcome(each, ""))).toHaveLength(1);
    expect(items.filter((each) => matchesOutcome(each, null))).toHaveLength(4);
  });
});
