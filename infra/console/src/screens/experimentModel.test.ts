import { describe, expect, it } from "vitest";
import { type ArmReading, barOf, MEASURES, type Plan, reasonsOf, scaleOf, stateOf } from "./experimentModel";

const arm = (name: string, more: Partial<ArmReading> = {}): ArmReading => ({
  name,
  weight: 1,
  set: [],
  units: 0,
  results: 0,
  success: null,
  p95_ms: null,
  cost: null,
  failures: [],
  tokens: null,
  spent: null,
  standing: "control",
  ...more,
});

const plan: Plan = {
  name: "tone",
  ok: true,
  error: null,
  says: null,
  control: "a",
  stopped: false,
  promoted: null,
};

describe("bars of intervals", () => {
  it("have one scale for all arms of a row", () => {
    const [success, p95] = MEASURES;
    const arms = [arm("a", { p95_ms: { value: 100, low: 50, high: 200 } }), arm("b")];
    expect(success && scaleOf(success, arms)).toBe(1);
    expect(p95 && scaleOf(p95, arms)).toBe(200);
    expect(barOf({ value: 100, low: 50, high: 200 }, 200)).toEqual({ left: 25, width: 75, middle: 50 });
  });

  it("end where the scale ends, also without any figure", () => {
    const p95 = MEASURES[1];
    expect(p95 && scaleOf(p95, [arm("a")])).toBe(1);
    expect(barOf({ value: 2, low: -1, high: 3 }, 1)).toEqual({ left: 0, width: 100, middle: 100 });
  });
});

describe("reasons of failure", () => {
  it("are those of all arms, the most frequent first", () => {
    const rare = { status: "failed", code: null, results: 1 };
    const often = { status: "fail_fallback", code: "GEN_TIMEOUT", results: 5 };
    expect(reasonsOf([arm("a", { failures: [rare] }), arm("b", { failures: [rare, often] })])).toEqual([
      { status: "fail_fallback", code: "GEN_TIMEOUT", counts: [0, 5] },
      { status: "failed", code: null, counts: [1, 1] },
    ]);
  });
});

describe("the state of an experiment", () => {
  it("says who gets what", () => {
    expect(stateOf(plan)).toBe("running");
    expect(stateOf({ ...plan, stopped: true })).toBe("stopped: a for all");
    expect(stateOf({ ...plan, stopped: true, promoted: "b" })).toBe("stopped: b for all");
    expect(stateOf({ ...plan, ok: false })).toBe("cannot be used");
  });
});
