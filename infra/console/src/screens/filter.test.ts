import { describe, expect, it } from "vitest";
import { formatFilter, parseFilter, readFilter, shell, toOptions, toQuery } from "./filter";

describe("the filter", () => {
  it.each([
    ["kind:layout origin:golden_sample", { kind: "layout", origin: "golden_sample" }],
    ["a forest kind:plot", { kind: "plot", text: "a forest" }],
    ['node:"gate 2" since:1h', { node: "gate 2", since: "1h" }],
    ['text:"three coins"', { text: "three coins" }],
    ["https://x kind:", { text: "https://x kind:" }],
    ["", {}],
  ])("reads %s", (text, filter) => {
    expect(parseFilter(text)).toEqual(filter);
  });

  it("is the same after it was written and read", () => {
    const filter = { kind: "layout", node: "gate 2", text: "three coins" };
    expect(parseFilter(formatFilter(filter))).toEqual(filter);
    expect(readFilter({ ...filter, other: 1, status: 3 })).toEqual({ ...filter, status: "3" });
  });

  it("becomes a query and options of the command line", () => {
    const filter = { kind: "layout", text: "it's here" };
    expect(toQuery(filter)).toEqual({ kind: "layout", q: "it's here" });
    expect(toOptions(filter)).toBe("--kind layout --text 'it'\\''s here'");
    expect(shell("a/b_c-1.2")).toBe("a/b_c-1.2");
  });
});
