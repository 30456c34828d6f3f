// How the types of openapi.d.ts are used; `just types` checks that this compiles.
import type { Layout, LogEvent, Order, Problem, Result } from "./openapi";

/** Asks, and waits for the result. The same key is the same request, so this can be called again. */
export async function ask(url: string, order: Order, key: string, token?: string): Promise<Result> {
  const headers: Record<string, string> = {
    "Content-Type": "application/json",
    "Idempotency-Key": key,
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
  };
  const answer = await fetch(`${url}/generate`, { method: "POST", headers, body: JSON.stringify(order) });
  if (answer.ok) return (await answer.json()) as Result;
  const problem = (await answer.json()) as Problem;
  if (problem.result !== undefined) return problem.result;
  throw new Error(`${problem.type}: ${problem.detail}`);
}

/** Whether prepared content answers in place of a model, and why. */
export function standsIn(result: Result): string | null {
  return result.stand_in === null ? null : `${result.stand_in.name}: ${result.reason}`;
}

export function countCoins(result: Result): number {
  if (result.kind !== "layout" || result.content === null) return 0;
  const entities = (result.content as Layout).entities ?? [];
  return entities.filter((each) => each.type === "collectible").length;
}

/** Shows text while a model writes it; the stream ends after the result. */
export function watch(url: string, requestId: string, show: (text: string) => void): EventSource {
  const events = new EventSource(`${url}/api/v1/generations/${encodeURIComponent(requestId)}/events`);
  events.addEventListener("progress", (event) => {
    const { data } = JSON.parse(event.data) as LogEvent;
    show((data as { text: string }).text);
  });
  return events;
}
