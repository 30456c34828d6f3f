import { describe, expect, it } from "vitest";
import {
  type Draft,
  type Finding,
  findingsAt,
  freshId,
  type History,
  readField,
  take,
  toId,
  writeField,
} from "./model";

describe("fields of a node", () => {
  it("are read and written in either spelling", () => {
    const node = { generation_type: "scene", style: { mood_from: "calm" } };
    expect(readField(node, "generationType")).toBe("scene");
    expect(readField(node, "style.moodFrom")).toBe("calm");
    expect(writeField(node, "style.moodFrom", "tense")).toEqual({
      generation_type: "scene",
      style: { mood_from: "tense" },
    });
    expect(writeField(node, "style.moodTo", "calm")).toEqual({
      generation_type: "scene",
      style: { mood_from: "calm", moodTo: "calm" },
    });
  });

  it("disappear with their last value", () => {
    expect(writeField({ id: "a", duration: { min: 3 } }, "duration.min", undefined)).toEqual({ id: "a" });
  });

  it("know their findings", () => {
    const at = (pointer: string) => ({ pointer }) as Finding;
    const found = [at("/duration/min"), at("/constraints/requiredElements/0"), at("/durations")];
    expect(findingsAt(found, "duration")).toEqual([found[0]]);
    expect(findingsAt(found, "constraints.requiredElements")).toEqual([found[1]]);
  });
});

describe("history", () => {
  const draft = (n: number): Draft => ({ graph: null, nodes: { a: { version: n } } });
  const start: History = { past: [], present: draft(0), future: [] };

  it("undoes and redoes, and a new change forgets what was undone", () => {
    const changed = [1, 2, 3].reduce(
      (history, n) => take(history, { kind: "change", draft: draft(n) }),
      start,
    );
    const back = take(take(changed, { kind: "undo" }), { kind: "undo" });
    expect(back.present).toEqual(draft(1));
    expect(take(back, { kind: "redo" }).present).toEqual(draft(2));
    expect(take(back, { kind: "change", draft: draft(9) }).future).toEqual([]);
    expect(take(start, { kind: "undo" })).toBe(start);
  });

  it("merges what is typed, and counts no change that changes nothing", () => {
    const typed = take(take(start, { kind: "change", draft: draft(1) }), {
      kind: "change",
      draft: draft(2),
      merge: true,
    });
    expect(typed.past).toEqual([draft(0)]);
    expect(take(typed, { kind: "change", draft: draft(2) })).toBe(typed);
  });
});

describe("ids", () => {
  it("are new and of the form that the gateway takes", () => {
    expect(freshId("gate", ["gate", "gate_2"])).toBe("gate_3");
    expect(toId("  The rooftop! ")).toBe("The_rooftop");
    expect(toId("…")).toBe("node");
  });
});
