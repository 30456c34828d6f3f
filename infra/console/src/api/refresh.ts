// Loading again what an event has changed.

import type { QueryClient, QueryKey } from "@tanstack/react-query";

/**
 * Load again what begins with this key.
 *
 * A first load that is under way may have read before the event, and TanStack Query keeps it: it is waited for, then
 * loaded again.
 */
export async function refresh(queries: QueryClient, queryKey: QueryKey): Promise<void> {
  const first = queries
    .getQueryCache()
    .findAll({ queryKey, fetchStatus: "fetching" })
    .filter((query) => query.state.data === undefined);
  await Promise.allSettled(first.map((query) => query.promise));
  await queries.invalidateQueries({ queryKey });
}
