// Where requests are on their lane: further right, the less of their time is left.

import { progressOf, type Token } from "./boardState";

/** Pixels of a request with its name, and between two of them. */
const CHIP_PX = 104;
const GAP_PX = 6;
const ROWS = 2;

export interface Placed {
  token: Token;
  /** Pixels from the left. */
  x: number;
  /** Row of a request with its name; `null`: there is room for a bar only. */
  row: number | null;
  /** Requests at the same place for which there is no room. */
  more: number;
}

export function place(tokens: Token[], now: number, width: number): Placed[] {
  const last = new Array<Placed | undefined>(ROWS).fill(undefined);
  return tokens
    .map((token) => ({ token, x: Math.round(progressOf(token, now) * (width - CHIP_PX)) }))
    .sort((left, right) => left.x - right.x)
    .map(({ token, x }) => {
      const row = last.findIndex((before) => before === undefined || before.x + CHIP_PX + GAP_PX <= x);
      const placed: Placed = { token, x, row: row >= 0 ? row : null, more: 0 };
      if (row >= 0) last[row] = placed;
      else {
        const covers = last[ROWS - 1];
        if (covers !== undefined) covers.more += 1;
      }
      return placed;
    });
}
