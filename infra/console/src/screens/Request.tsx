// One request: who wrote its result and why, what was written, and how it came about.

import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Tabs } from "radix-ui";
import { lazy, Suspense, useEffect, useState } from "react";
import { useResult } from "../api/hooks";
import { get, type Problem, post } from "../api/http";
import type { Explanation, Result } from "../api/model";
import { accentOf, wordOf } from "../api/model";
import { duration, sentence } from "../ui/format";
import { Picture } from "../ui/Picture";
import { Copy, ErrorNote, Json, OriginLabel, Ring } from "../ui/parts";
import { shell } from "./filter";
import { Attempts, Facts, Helpers, Lineage } from "./RequestFacts";
import { Timeline } from "./Timeline";
import { times } from "./times";
import { useStory } from "./useStory";
import "./request.css";

const Rerun = lazy(() => import("./Rerun").then((module) => ({ default: module.Rerun })));

export function Request() {
  const { id } = useParams({ from: "/requests/$id" });
  const { why, tokens } = useStory(id);
  const result = useResult(id);
  const [failure, setFailure] = useState<unknown>(null);
  const [rerunning, setRerunning] = useState(false);

  const story = why.data;
  const ended = story !== undefined && story.origin !== null;
  return (
    <>
      <div className="page-head">
        <h1>
          {story?.kind ?? "Request"} <span className="mono dim request-id">{id}</span>
        </h1>
        <Copy text={id}>Copy id</Copy>
        <div className="grow" />
        <Commands id={id} story={story} />
        {story && ended && (
          <>
            <button
              type="button"
              className="button"
              aria-expanded={rerunning}
              onClick={() => setRerunning(!rerunning)}
            >
              Re-run from stage…
            </button>
            <Link className="button" to="/replays" search={{ ids: id }}>
              Replay
            </Link>
          </>
        )}
        {story && !ended && (
          <button
            type="button"
            className="button danger"
            onClick={() =>
              post(`/api/v1/generations/${encodeURIComponent(id)}/cancel`, {
                reason: "cancelled in the console",
              }).then(() => setFailure(null), setFailure)
            }
          >
            Cancel
          </button>
        )}
      </div>
      {failure !== null && <ErrorNote error={failure} />}
      {rerunning && (
        <Suspense fallback={<div className="card" aria-busy="true" />}>
          <Rerun id={id} onClose={() => setRerunning(false)} />
        </Suspense>
      )}
      {why.error && <ErrorNote error={why.error} retry={() => void why.refetch()} />}
      {story && (
        <>
          <Verdict story={story} />
          <div className="request-columns">
            <div className="stack">
              <Content id={id} story={story} result={result.data} tokens={tokens} />
              <Timeline story={story} />
            </div>
            <div className="stack">
              <Facts story={story} result={result.data} />
              <Helpers story={story} />
              <Attempts attempts={story.attempts} />
              <Lineage story={story} />
            </div>
          </div>
        </>
      )}
    </>
  );
}

/** The first sentence of the page: who wrote it. */
function explain(story: Explanation): string {
  const name = story.stand_in?.name.replace(/\.json$/, "");
  switch (story.origin) {
    case "live":
      return "The model wrote this for this request.";
    case "cache":
      return "This is an earlier result of the same request, from the cache.";
    case "scripted":
      return "The scripted provider answered: a test, no model.";
    case "golden_sample":
      return `A golden sample stood in${name ? `: ${name}` : ""}.`;
    case "default_content":
      return "The default content of the request stood in.";
    case "placeholder":
      return "A placeholder stood in: a valid document without content.";
    case "none":
      return story.status === "rejected"
        ? "The request was rejected: nothing was generated."
        : `Nothing was generated: ${story.status}.`;
    default:
      return story.waiting_for ? `Running: waiting for ${story.waiting_for}.` : "Running.";
  }
}

function Verdict({ story }: { story: Explanation }) {
  const accent = accentOf(story.origin);
  const standIn = accent === "standin" || accent === "nothing";
  return (
    <section className={`verdict card ${accent ?? "running"}`} aria-label="Who wrote it">
      <OriginLabel origin={story.origin} />
      <div>
        <p className="verdict-line">
          {explain(story)} {standIn && story.error && sentence(`${story.error.message}.`)}
        </p>
        {standIn && story.error && (
          <p className="dim">
            <code>{story.error.code}</code> in {story.error.stage}
          </p>
        )}
      </div>
      {story.origin === null && <Deadline story={story} />}
    </section>
  );
}

function Deadline({ story }: { story: Explanation }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const coming = useQuery<{ stand_in: { name: string | null } | null }, Problem>({
    queryKey: ["generation", story.request_id, "stand-in"],
    queryFn: ({ signal }) =>
      get(`/api/v1/generations/${encodeURIComponent(story.request_id)}/stand-in`, undefined, signal),
    retry: false,
  });
  const { asked, deadline } = times(story);
  if (deadline === null) return null;
  const left = Math.max(0, deadline - now);
  return (
    <span className="deadline" role="timer">
      <Ring share={left / (deadline - asked)} size={30} accent={left < 5000 ? "nothing" : "dim"} />
      <span className="num">{duration(left)}</span>
      <span className="faint">
        to the deadline{coming.data?.stand_in?.name && `, then ${coming.data.stand_in.name} stands in`}
      </span>
    </span>
  );
}

function Content({
  id,
  story,
  result,
  tokens,
}: {
  id: string;
  story: Explanation;
  result: Result | null | undefined;
  tokens: string;
}) {
  const drafted = story.events.findLast((event) => event.event === "drafted")?.data as
    | { text?: string; draft?: { text?: string; original?: string } }
    | undefined;
  const prose = drafted?.text ?? drafted?.draft?.text;
  const brief = story.events.find((event) => event.event === "context_built")?.data.brief as
    | { prompt?: string }
    | undefined;
  const asked = story.events[0]?.data;
  const has = result?.content !== undefined && result.content !== null;
  return (
    <section className="card" aria-label="Content">
      <Tabs.Root defaultValue={story.origin === "none" ? "asked" : "picture"}>
        <Tabs.List className="tabs content-tabs" aria-label="Content">
          <Tabs.Trigger value="picture">
            {story.origin === null ? "As it is written" : "Picture"}
          </Tabs.Trigger>
          <Tabs.Trigger value="json">JSON</Tabs.Trigger>
          {prose !== undefined && <Tabs.Trigger value="prose">Draft</Tabs.Trigger>}
          {brief?.prompt !== undefined && <Tabs.Trigger value="prompt">Prompt</Tabs.Trigger>}
          <Tabs.Trigger value="asked">Asked</Tabs.Trigger>
        </Tabs.List>
        <Tabs.Content value="picture">
          {has ? (
            <Picture id={id} title={`${story.kind}: ${wordOf(story.origin)}`} version={story.events.length} />
          ) : tokens !== "" ? (
            <pre className="json prose" aria-live="off">
              {tokens}
            </pre>
          ) : (
            <p className="card-body dim">
              {story.origin === null ? "Nothing is written yet." : "There is no content."}
            </p>
          )}
        </Tabs.Content>
        <Tabs.Content value="json">
          <Json value={result?.content ?? null} />
        </Tabs.Content>
        <Tabs.Content value="prose">
          <pre className="json prose">{prose}</pre>
          {drafted?.draft?.original && (
            <details className="card-body">
              <summary>Before enhancement</summary>
              <pre className="json prose">{drafted.draft.original}</pre>
            </details>
          )}
        </Tabs.Content>
        <Tabs.Content value="prompt">
          <pre className="json prose">{brief?.prompt}</pre>
        </Tabs.Content>
        <Tabs.Content value="asked">
          <Json value={asked ?? null} />
        </Tabs.Content>
      </Tabs.Root>
    </section>
  );
}

/** The same request from a terminal, from curl and from Python. */
function Commands({ id, story }: { id: string; story: Explanation | undefined }) {
  const asked = story?.events[0]?.data;
  if (story === undefined || asked === undefined) return null;
  const body = JSON.stringify({ kind: story.kind, ...asked });
  const curl = `curl ${location.origin}/generate -H 'content-type: application/json' -d ${shell(body)}`;
  const python = [
    "from understudy_client import SyncClient",
    "",
    `with SyncClient() as client:`,
    `    result = client.generate(${JSON.stringify(story.kind)}, body=${JSON.stringify(JSON.stringify(asked))}.encode())`,
    "    print(result.origin, result.content)",
  ].join("\n");
  return (
    <>
      <Copy text={`understudy why ${shell(id)}`}>Copy as command</Copy>
      <Copy text={curl}>curl</Copy>
      <Copy text={python}>Python</Copy>
    </>
  );
}
