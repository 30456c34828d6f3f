import { describe, expect, it } from "vitest";
import {
  bodyOf,
  type Item,
  nextCommand,
  othersOf,
  type RevealedSide,
  readTags,
  score,
  scoreCommand,
  writerOf,
} from "./reviewModel";

const item = (sides: number): Item => ({
  item: "4f2a",
  mode: sides > 1 ? "pair" : "single",
  kind: "layout",
  sides: Array.from({ length: sides }, () => ({ wish: null, content: {} })),
  revealed: false,
});
const blank = { score: null, tags: "" };

const side: RevealedSide = {
  request_id: "r-1",
  score: 4,
  tags: [],
  origin: "live",
  provider: "server",
  model: "m1",
  prompt_version: "layout@2",
  node: null,
  arm: "tone/cool",
  cost: null,
  others_mean: null,
  others: 0,
  judged: null,
};

describe("what is said about an item", () => {
  it("marks the side that is still without a score", () => {
    const first = score([blank, blank], 0, 4);
    expect(first).toEqual({ drafts: [{ ...blank, score: 4 }, blank], side: 1 });
    const second = score(first.drafts, 1, 2);
    expect(second.side).toBe(1);
    expect(score(second.drafts, 0, 5).drafts.map((each) => each.score)).toEqual([5, 2]);
    expect(score([blank, blank], 1, 3).side).toBe(0);
  });

  it("is complete when every side has a score", () => {
    expect(bodyOf(item(2), [{ ...blank, score: 4 }, blank])).toBeNull();
    expect(bodyOf(item(1), [{ score: 4, tags: "vivid, Off brief,, vivid" }])).toEqual({
      item: "4f2a",
      sides: [{ score: 4, tags: ["vivid", "off-brief"] }],
    });
  });

  it("has tags that the gateway takes", () => {
    expect(readTags(" , --, Ärger ,x".padEnd(80, "y"))).toEqual(["rger", `x${"y".repeat(31)}`]);
  });

  it("is a command", () => {
    expect(
      scoreCommand(
        item(2),
        [
          { score: 4, tags: "vivid" },
          { score: null, tags: "dull" },
        ],
        "Anna B",
      ),
    ).toBe("understudy review score 4f2a 4 … --tag vivid --right-tag dull --as 'Anna B'");
    expect(nextCommand({ kind: "layout" }, true, "anna")).toBe(
      "understudy review next --pair --kind layout --as anna",
    );
    expect(nextCommand({}, false)).toBe("understudy review next");
  });
});

describe("what a side was", () => {
  it("is named with its arm, and with what others say", () => {
    expect(writerOf(side)).toBe("server/m1, layout@2, tone/cool");
    expect(
      writerOf({ ...side, provider: null, model: null, prompt_version: null, arm: null, origin: null }),
    ).toBe("purged");
    expect(othersOf(side)).toBe("no other score");
    expect(othersOf({ ...side, others_mean: 3.25, others: 2, judged: 4.5 })).toBe(
      "3.3 by 2 others, judge 4.5",
    );
  });
});
