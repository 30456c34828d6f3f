// The board's state: live from the browser's stream, or played from the log at any past second.

import { useCallback, useEffect, useReducer, useRef, useState } from "react";
import { useEvents } from "../api/hooks";
import { withQuery } from "../api/http";
import type { PipelineEvent } from "../api/model";
import { readEvents } from "../api/sse";
import { type BoardState, EMPTY, reduce, sweep } from "./boardState";

type Change = { events: PipelineEvent[]; now: number } | "clear";

const apply = (state: BoardState, change: Change): BoardState =>
  change === "clear" ? EMPTY : sweep(change.events.reduce(reduce, state), change.now);

/** Milliseconds between two looks of the board. */
const FRAME_MS = 100;
/** Milliseconds before the first moment from which the log is read, so that running requests are on the board. */
const LEAD_MS = 60_000;
/** Milliseconds within which the log's last minute must have come. */
const SEED_MS = 1500;

export interface Board {
  state: BoardState;
  /** The moment that is shown, ms since the epoch. */
  now: number;
  paused: boolean;
  /** Events that came while the board was paused, or showed the past. */
  held: number;
  setPaused: (paused: boolean) => void;
}

/** The board as it is now. */
export function useLiveBoard(active: boolean): Board {
  const [state, change] = useReducer(apply, EMPTY);
  const [now, setNow] = useState(() => Date.now());
  const [paused, setPaused] = useState(false);
  const [held, setHeld] = useState(0);
  const waiting = useRef<PipelineEvent[]>([]);
  useEvents((event) => {
    if (event.event !== "progress") waiting.current.push(event);
  });
  // What runs already was asked a moment ago: the log has it.
  useEffect(() => {
    if (!active) return;
    const stop = new AbortController();
    const opened = Date.now();
    const earlier: PipelineEvent[] = [];
    const finish = () => {
      waiting.current.unshift(...earlier.splice(0));
      stop.abort();
    };
    const timer = setTimeout(finish, SEED_MS);
    const take = (event: PipelineEvent) => {
      if (Date.parse(event.time) >= opened) finish();
      else earlier.push(event);
    };
    const path = withQuery("/api/v1/events", { since: new Date(opened - LEAD_MS).toISOString() });
    // Without it the board begins empty: the stream itself reports what is wrong.
    readEvents(path, take, stop.signal).catch(() => undefined);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [active]);
  useEffect(() => {
    // What was held was held by a pause of another moment.
    waiting.current = [];
    setHeld(0);
    void active;
  }, [active]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (paused || !active) {
        // What is not shown is not kept for ever.
        waiting.current.splice(0, Math.max(0, waiting.current.length - 20_000));
        setHeld(waiting.current.length);
        return;
      }
      const at = Date.now();
      change({ events: waiting.current.splice(0), now: at });
      setHeld(0);
      setNow(at);
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, [active, paused]);
  return { state, now, paused, held, setPaused };
}

export interface Playback extends Omit<Board, "held"> {
  speed: number;
  setSpeed: (speed: number) => void;
  error: unknown;
}

/** Events that are read ahead of what is shown. */
const AHEAD = 2000;

/** The board at a past second, played from there; `null`: it is not asked for. */
export function usePlayback(from: number | null, onEnd: () => void): Playback | null {
  const [state, change] = useReducer(apply, EMPTY);
  const [now, setNow] = useState(from ?? 0);
  const [paused, setPaused] = useState(false);
  const [speed, setSpeed] = useState(1);
  const [error, setError] = useState<unknown>(null);
  const waiting = useRef<PipelineEvent[]>([]);
  const room = useRef<(() => void) | null>(null);
  const ended = useRef(onEnd);
  ended.current = onEnd;

  useEffect(() => {
    if (from === null) return;
    const stop = new AbortController();
    waiting.current = [];
    change("clear");
    setNow(from);
    setError(null);
    const take = async (event: PipelineEvent) => {
      waiting.current.push(event);
      if (waiting.current.length > AHEAD) {
        await new Promise<void>((resolve) => {
          room.current = resolve;
        });
      }
    };
    const path = withQuery("/api/v1/events", { since: new Date(from - LEAD_MS).toISOString() });
    readEvents(path, take, stop.signal).catch((failure: unknown) => {
      if (!stop.signal.aborted) setError(failure);
    });
    return () => stop.abort();
  }, [from]);

  useEffect(() => {
    if (from === null || paused) return;
    const timer = setInterval(() => {
      setNow((before) => {
        const after = before + FRAME_MS * speed;
        if (after >= Date.now()) ended.current();
        return after;
      });
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, [from, paused, speed]);

  const shown = useCallback((until: number) => {
    const at = waiting.current.findIndex((event) => Date.parse(event.time) > until);
    const events = waiting.current.splice(0, at < 0 ? waiting.current.length : at);
    if (waiting.current.length <= AHEAD / 2) {
      room.current?.();
      room.current = null;
    }
    change({ events, now: until });
  }, []);
  useEffect(() => {
    if (from !== null) shown(now);
  }, [from, now, shown]);

  return from === null ? null : { state, now, paused, setPaused, speed, setSpeed, error };
}
