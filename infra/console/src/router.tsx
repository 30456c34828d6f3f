// The screens and their addresses; the code of all but the first is loaded when they are opened.

import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { type Query, withQuery } from "./api/http";
import { Board } from "./screens/Board";
import { type Filter, readFilter } from "./screens/filter";
import { Shell } from "./shell/Shell";
import { Empty } from "./ui/parts";

const text = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" ? String(value) : undefined;

/** A search with the words that are there. */
const only = <T extends string>(
  search: Record<string, unknown>,
  ...words: T[]
): Partial<Record<T, string>> => {
  const found: Partial<Record<T, string>> = {};
  for (const word of words) {
    const value = text(search[word]);
    if (value !== undefined && value !== "") found[word] = value;
  }
  return found;
};

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => <Empty title="There is no such page">The list on the left has all of them.</Empty>,
});
const under = { getParentRoute: () => root };

const board = createRoute({
  ...under,
  path: "/",
  component: Board,
  // `at`: the second that is shown, milliseconds since the epoch.
  validateSearch: (search): { at?: string } => only(search, "at"),
});
const requests = createRoute({
  ...under,
  path: "/requests",
  component: lazyRouteComponent(() => import("./screens/Requests"), "Requests"),
  validateSearch: readFilter,
});
const request = createRoute({
  ...under,
  path: "/requests/$id",
  component: lazyRouteComponent(() => import("./screens/Request"), "Request"),
});
const dead = createRoute({
  ...under,
  path: "/dead",
  component: lazyRouteComponent(() => import("./screens/DeadLetters"), "DeadLetters"),
  // `field`: of the group that is shown; `seq`: the letter that is open.
  validateSearch: (search): Filter & { seq?: string; field?: string } => ({
    ...readFilter(search),
    ...only(search, "seq", "field"),
  }),
});
const replays = createRoute({
  ...under,
  path: "/replays",
  component: lazyRouteComponent(() => import("./screens/Replays"), "Replays"),
  // `ids`: requests, `letters`: numbers of dead letters, separated by commas, or `all` that match; `patch`: a kept edit.
  validateSearch: (search): Filter & { ids?: string; letters?: string; patch?: string } => ({
    ...readFilter(search),
    ...only(search, "ids", "letters", "patch"),
  }),
});
const replay = createRoute({
  ...under,
  path: "/replays/$job",
  component: lazyRouteComponent(() => import("./screens/Replay"), "Replay"),
});
const compare = createRoute({
  ...under,
  path: "/compare",
  component: lazyRouteComponent(() => import("./screens/Compare"), "Compare"),
  // `rerun`: all pairs of a rerun.
  validateSearch: (search): { a?: string; b?: string; rerun?: string } => only(search, "a", "b", "rerun"),
});
const experiments = createRoute({
  ...under,
  path: "/experiments",
  component: lazyRouteComponent(() => import("./screens/Experiments"), "Experiments"),
  // `name`: the experiment that is read.
  validateSearch: (search): { name?: string } => only(search, "name"),
});
const review = createRoute({
  ...under,
  path: "/review",
  component: lazyRouteComponent(() => import("./screens/Review"), "Review"),
  // `mode`: `pair`, or one at a time.
  validateSearch: (search): Filter & { mode?: string } => ({
    ...readFilter(search),
    ...only(search, "mode"),
  }),
});
const nodes = createRoute({
  ...under,
  path: "/nodes",
  component: lazyRouteComponent(() => import("./screens/Nodes"), "Nodes"),
  validateSearch: (search): { graph?: string; node?: string; tab?: string } =>
    only(search, "graph", "node", "tab"),
});
const health = createRoute({
  ...under,
  path: "/health",
  component: lazyRouteComponent(() => import("./screens/Health"), "Health"),
});
const telemetry = createRoute({
  ...under,
  path: "/telemetry",
  component: lazyRouteComponent(() => import("./screens/Telemetry"), "Telemetry"),
  validateSearch: (search): { window?: string; by?: string } => only(search, "window", "by"),
});
const settings = createRoute({
  ...under,
  path: "/settings",
  component: lazyRouteComponent(() => import("./screens/Settings"), "Settings"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    board,
    requests,
    request,
    dead,
    replays,
    replay,
    compare,
    experiments,
    review,
    nodes,
    health,
    telemetry,
    settings,
  ]),
  // Every value is a text: `seq=7`, without quotation marks.
  parseSearch: (search) => Object.fromEntries(new URLSearchParams(search)),
  stringifySearch: (search) => withQuery("", search as Query),
  // A screen that fails leaves the others, and says what it was.
  defaultErrorComponent: ({ error, reset }) => (
    <div className="note bad" role="alert">
      <strong>This screen has a fault</strong>
      <span>{error instanceof Error ? error.message : String(error)}</span>
      <button type="button" className="button" onClick={reset}>
        Try again
      </button>
    </div>
  ),
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
