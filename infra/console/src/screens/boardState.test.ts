import { describe, expect, it } from "vitest";
import type { PipelineEvent } from "../api/model";
import { type BoardState, EMPTY, LINGER_MS, progressOf, reduce, sweep } from "./boardState";

const START = Date.parse("2026-11-28T11:00:00Z");

const event = (name: string, ms: number, data: Record<string, unknown> = {}): PipelineEvent => ({
  seq: 1,
  time: new Date(START + ms).toISOString(),
  subject: `gen.${name}.layout.r1`,
  event: name,
  kind: "layout",
  request_id: "r1",
  stage: null,
  data,
});
const boardAfter = (...events: PipelineEvent[]): BoardState => events.reduce(reduce, EMPTY);

describe("the board", () => {
  it("moves a request through its stages", () => {
    const way = [
      event("requested", 0),
      event("context_built", 5),
      event("drafted", 900),
      event("structured", 1500),
    ];
    const lanes = way.map((_, index) => boardAfter(...way.slice(0, index + 1)).tokens.get("r1")?.lane);
    expect(lanes).toEqual(["context-build", "freeform-gen", "structuring", "validate-repair"]);
  });

  it("shows an ended request for a moment, in its origin's colour", () => {
    const ended = boardAfter(
      event("requested", 0),
      event("failed", 10),
      event("result", 30, {
        origin: "golden_sample",
        status: "fail_fallback",
        content: { scene_name: "Oaks" },
      }),
    );
    expect(ended.tokens.get("r1")).toMatchObject({ lane: "fallback", ended: { accent: "standin" } });
    expect(ended.latest[0]).toMatchObject({ title: "Oaks", took: 30, origin: "golden_sample" });
    expect(sweep(ended, START + 30 + LINGER_MS).tokens.size).toBe(1);
    expect(sweep(ended, START + 31 + LINGER_MS).tokens.size).toBe(0);
  });

  it("takes the deadline from the timer", () => {
    const running = boardAfter(event("requested", 0), event("timer", 3, { deadline_ms: 10_000 }));
    const token = running.tokens.get("r1");
    expect(token?.deadline).toBe(START + 10_000);
    expect(token && progressOf(token, START + 2500)).toBe(0.5);
    expect(token && progressOf(token, START + 99_000)).toBe(1);
  });

  it("does not bring back what has ended", () => {
    const late = boardAfter(
      event("requested", 0),
      event("result", 5, { origin: "live" }),
      event("drafted", 6),
    );
    expect(late.tokens.get("r1")?.ended).not.toBeNull();
  });

  it("holds at most 400 requests", () => {
    let state = EMPTY;
    for (let index = 0; index < 1000; index += 1) {
      state = reduce(state, { ...event("requested", index), request_id: `r${index}` });
    }
    expect(state.tokens.size).toBe(400);
    expect(state.tokens.has("r999")).toBe(true);
  });
});
