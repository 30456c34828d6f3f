// What is around every screen: navigation, the stream's state, sign-in, palette, shortcuts.

import { useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState } from "react";
import { useConnection, useSession } from "../api/hooks";
import { Problem } from "../api/http";
import { stream } from "../api/stream";
import { Mask } from "../ui/icons";
import { ErrorNote } from "../ui/parts";
import { PLACES } from "./places";
import { useShortcuts } from "./shortcuts";

// What is not on the first screen is loaded after it.
const later = {
  palette: () => import("./Palette"),
  shortcuts: () => import("./Shortcuts"),
};
const Palette = lazy(() => later.palette().then((module) => ({ default: module.Palette })));
const Shortcuts = lazy(() => later.shortcuts().then((module) => ({ default: module.Shortcuts })));
const SignIn = lazy(() => import("./SignIn").then((module) => ({ default: module.SignIn })));

export function Shell() {
  const session = useSession();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const connection = useConnection();
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const signedIn = session.data !== undefined;

  useEffect(() => {
    if (signedIn) stream.open();
  }, [signedIn]);
  // What was loaded may be out of date: after a gap in the stream, and after an outage.
  const { resets, state } = connection;
  useEffect(() => {
    if (resets > 0 || state === "live") void queries.invalidateQueries();
  }, [queries, resets, state]);
  useShortcuts({
    "mod+k": () => setPalette(true),
    "?": () => setHelp(true),
    ...Object.fromEntries(PLACES.map((place) => [`g ${place.key}`, () => void navigate({ to: place.path })])),
  });

  useEffect(() => {
    const idle = requestIdleCallback(() => {
      for (const load of Object.values(later)) void load();
    });
    return () => cancelIdleCallback(idle);
  }, []);

  if (session.error instanceof Problem && session.error.status === 401) {
    return (
      <Suspense>
        <SignIn />
      </Suspense>
    );
  }
  return (
    <div className="app">
      <a className="button skip-link" href="#page">
        Skip to content
      </a>
      <nav className="side" aria-label="Screens">
        <Link className="brand" to="/">
          <Mask />
          Understudy
        </Link>
        {PLACES.map(({ path, name, icon: Icon }) => (
          <Link key={path} to={path} className="side-link" activeOptions={{ exact: path === "/" }}>
            <Icon />
            {name}
          </Link>
        ))}
        <div className="side-foot">
          <StreamState />
          <span className="cut">
            {location.host}
            {session.data && ` · ${session.data.via === "local" ? "local user" : session.data.role}`}
          </span>
        </div>
      </nav>
      <main className="page" id="page" tabIndex={-1}>
        {session.error && <ErrorNote error={session.error} retry={() => void session.refetch()} />}
        <Outage />
        <Outlet />
      </main>
      <Suspense>
        {palette && <Palette open onOpenChange={setPalette} />}
        {help && <Shortcuts open onOpenChange={setHelp} />}
      </Suspense>
    </div>
  );
}

function StreamState() {
  const { state, rate, missed } = useConnection();
  const accent = { live: "live", connecting: "faint", lost: "nothing", "signed-out": "faint" }[state];
  const words = {
    live: `live, ${rate} events/s`,
    connecting: "connecting",
    lost: "no events",
    "signed-out": "signed out",
  };
  return (
    <span role="status" title={missed > 0 ? `${missed} events were not shown` : undefined}>
      <span className={`origin ${accent}`}>
        <span className="dim">{words[state]}</span>
      </span>
      {missed > 0 && <span className="standin"> missed {missed}</span>}
    </span>
  );
}

function Outage() {
  const { state, reason } = useConnection();
  if (state !== "lost") return null;
  return (
    <div className="note bad connection" role="alert">
      <strong>No live events</strong>
      <span>{reason}. What you see may be old; the console connects again by itself.</span>
    </div>
  );
}
