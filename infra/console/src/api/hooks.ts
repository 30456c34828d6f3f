// React's view of the API and of the event stream.

import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { get, type Problem } from "./http";
import type { Explanation, PipelineEvent, Result, Session } from "./model";
import { type Connection, stream } from "./stream";

/** Call a function with every event of the log while the component is there. */
export function useEvents(listener: (event: PipelineEvent) => void): void {
  const current = useRef(listener);
  useEffect(() => {
    current.current = listener;
  });
  useEffect(() => stream.subscribe((event) => current.current(event)), []);
}

/** How the event stream does. */
export const useConnection = (): Connection => useSyncExternalStore(stream.watch, () => stream.connection);

/** Who uses the console. */
export const useSession = () =>
  useQuery<Session, Problem>({
    queryKey: ["session"],
    queryFn: ({ signal }) => get<Session>("/api/session", undefined, signal),
    retry: false,
    staleTime: 60_000,
  });

/** The story of a request; loaded anew when `useEvents` says that it changed. */
export const useExplanation = (id: string) =>
  useQuery<Explanation, Problem>({
    queryKey: ["generation", id, "why"],
    queryFn: ({ signal }) =>
      get<Explanation>(`/api/v1/generations/${encodeURIComponent(id)}/why`, undefined, signal),
    retry: false,
  });

/** A request's result; `null` while there is none. */
export const useResult = (id: string) =>
  useQuery<Result | null, Problem>({
    queryKey: ["generation", id, "result"],
    queryFn: async ({ signal }) =>
      (
        await get<{ result: Result | null }>(
          `/api/v1/generations/${encodeURIComponent(id)}`,
          undefined,
          signal,
        )
      ).result,
    retry: false,
  });
