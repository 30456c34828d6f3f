// Readings of experiments as the page shows them: bars of intervals, and figures as text.

import { duration, percent } from "../ui/format";

export interface Interval {
  value: number;
  low: number;
  high: number;
}

export interface ArmReading {
  name: string;
  weight: number;
  set: string[];
  units: number;
  results: number;
  success: Interval | null;
  p95_ms: Interval | null;
  cost: Interval | null;
  failures: { status: string; code: string | null; results: number }[];
  tokens: number | null;
  spent: number | null;
  standing: "control" | "better" | "worse" | "no_difference" | "too_few" | "not_read";
}

export interface Reading {
  name: string;
  says: string | null;
  unit: string;
  goal: string;
  minimum: number;
  stopped: boolean;
  promoted: string | null;
  earlier: number;
  cut: boolean;
  error: number;
  looks: number;
  split: { ok: boolean | null; p: number | null; mixed_units: number };
  verdict: "broken_split" | "too_few" | "no_difference" | "winner";
  sentence: string;
  arms: ArmReading[];
}

export interface Plan {
  name: string;
  ok: boolean;
  error: string | null;
  says: string | null;
  control: string | null;
  stopped: boolean;
  promoted: string | null;
}

/** What is measured of an arm: its name, its interval, how the value reads, and where its bar ends. */
export interface Measure {
  name: string;
  of: (arm: ArmReading) => Interval | null;
  text: (value: number) => string;
}

export const MEASURES: Measure[] = [
  { name: "Success", of: (arm) => arm.success, text: percent },
  { name: "p95", of: (arm) => arm.p95_ms, text: duration },
  { name: "Cost of a result", of: (arm) => arm.cost, text: (value) => value.toPrecision(3) },
];

/** The greatest value of a measure in any arm: all bars of a row have one scale, and shares end at 1. */
export function scaleOf(measure: Measure, arms: ArmReading[]): number {
  if (measure.name === "Success") return 1;
  return Math.max(0, ...arms.map((arm) => measure.of(arm)?.high ?? 0)) || 1;
}

/** Left edge, width and middle of an interval's bar, in percent of the scale. */
export function barOf(found: Interval, scale: number): { left: number; width: number; middle: number } {
  const at = (value: number) => (100 * Math.max(0, Math.min(scale, value))) / scale;
  return { left: at(found.low), width: at(found.high) - at(found.low), middle: at(found.value) };
}

/** Every reason of failure in any arm, the most frequent first. */
export function reasonsOf(arms: ArmReading[]): { status: string; code: string | null; counts: number[] }[] {
  const found = new Map<string, { status: string; code: string | null; counts: number[] }>();
  arms.forEach((arm, index) => {
    for (const { status, code, results } of arm.failures) {
      const key = `${status} ${code ?? ""}`;
      const reason = found.get(key) ?? { status, code, counts: arms.map(() => 0) };
      reason.counts[index] = (reason.counts[index] ?? 0) + results;
      found.set(key, reason);
    }
  });
  const all = (counts: number[]) => counts.reduce((sum, each) => sum + each, 0);
  return [...found.values()].sort((one, other) => all(other.counts) - all(one.counts));
}

/** The state of a plan in a word or two. */
export function stateOf(plan: Plan): string {
  if (!plan.ok) return "cannot be used";
  if (!plan.stopped) return "running";
  return `stopped: ${plan.promoted ?? plan.control} for all`;
}
