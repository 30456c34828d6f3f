import { describe, expect, it } from "vitest";
import type { HistoryEvent } from "../api/model";
import { diffWords, timesOfStages } from "./compareModel";

describe("texts", () => {
  const of = (first: string, second: string) =>
    diffWords(first, second).map(({ text, side }) => `${side[0]}:${text}`);

  it("are compared word by word", () => {
    expect(of("a dark cave", "a bright cave")).toEqual(["b:a ", "f:dark", "s:bright", "b: cave"]);
    expect(of("two guards.", "two guards, one key.")).toEqual(["b:two guards", "s:, one key", "b:."]);
    expect(of("", "x")).toEqual(["s:x"]);
    expect(of("same", "same")).toEqual(["b:same"]);
  });

  it("can be put together again", () => {
    const [first, second] = ["Schnee fällt auf die Dächer", "Schnee liegt still auf Dächern 😀"];
    const pieces = diffWords(first, second);
    const text = (side: string) => pieces.filter((piece) => piece.side !== side).map((piece) => piece.text);
    expect(text("second").join("")).toBe(first);
    expect(text("first").join("")).toBe(second);
  });

  it("that are long are not compared", () => {
    const [first, second] = ["a ".repeat(500), "b ".repeat(500)];
    expect(diffWords(first, second)).toEqual([
      { text: first, side: "first" },
      { text: second, side: "second" },
    ]);
  });
});

it("the time of a stage is that of all its attempts", () => {
  const event = (name: string, stage: string | null, latency_ms: number | null) =>
    ({ event: name, stage, latency_ms }) as HistoryEvent;
  const times = timesOfStages([
    event("requested", "client", 1),
    event("structured", "structuring", 700),
    event("validation_failed", "validate-repair", 10),
    event("structured", "structuring", 300),
    event("result", "validate-repair", 5),
    event("deadline", "broker", 9000),
  ]);
  expect([...times]).toEqual([
    ["structuring", 1000],
    ["validate-repair", 15],
  ]);
});
