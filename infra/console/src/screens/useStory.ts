// The story of a request as it goes on, and its text while it is written.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useEvents, useExplanation } from "../api/hooks";
import type { PipelineEvent } from "../api/model";
import { refresh } from "../api/refresh";
import { readEvents } from "../api/sse";

/** Characters that are shown at most. */
const MOST = 20_000;
/** Milliseconds before a stream that broke is read again. */
const RETRY_MS = 1000;

/** The story, loaded anew with each event, and what was written so far; a new attempt begins anew. */
export function useStory(id: string) {
  const queries = useQueryClient();
  const why = useExplanation(id);
  const [tokens, setTokens] = useState("");
  useEffect(() => {
    setTokens("");
    void id;
  }, [id]);
  const take = (event: PipelineEvent) => {
    if (event.event === "progress" && typeof event.data.text === "string") {
      const added = event.data.text;
      setTokens((before) => (before + added).slice(-MOST));
      return;
    }
    if (event.event === "context_built") setTokens("");
    void refresh(queries, ["generation", id]);
  };
  useEvents((event) => {
    if (event.request_id === id) take(event);
  });
  // The browser's stream has no shadows.
  const hidden = why.data?.shadow === true && why.data.origin === null;
  const current = useRef(take);
  current.current = take;
  useEffect(() => {
    if (!hidden) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = () => {
      const path = `/api/v1/generations/${encodeURIComponent(id)}/events`;
      readEvents(path, (event) => current.current(event), stop.signal).catch(() => {
        if (!stop.signal.aborted) timer = setTimeout(read, RETRY_MS);
      });
    };
    read();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, hidden]);
  return { why, tokens };
}
