// One dead letter: what is wrong, an editor with today's verdict, and what becomes of it.

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { type Fault, get, type Problem, post } from "../api/http";
import { diff, guarded, type Json } from "../edit/jsonPatch";
import { count, shortId } from "../ui/format";
import { Copy, ErrorNote, Json as JsonText } from "../ui/parts";
import { keepPatch } from "./replayDraft";

const JsonEditor = lazy(() =>
  import("../edit/JsonEditor").then((module) => ({ default: module.JsonEditor })),
);

/** Where the gateway has dead letters. */
export const PATH = "/api/v1/dead-letters";

export interface LetterRow {
  sequence: number;
  time: string;
  stage: string | null;
  kind: string | null;
  request_id: string | null;
  code: string | null;
  reason: string;
}
interface Verdict {
  accepted: boolean;
  code: string | null;
  reason: string | null;
  violations: Fault[];
  kind: string | null;
  replay_of: string | null;
  body: Json | null;
  max_tokens: number;
}
interface Letter extends LetterRow {
  letter: unknown;
  payload: Json;
  stream: string | null;
  stream_sequence: number | null;
  violations: Fault[];
  verdict: Verdict;
}

/** Milliseconds after the last key until the verdict is asked for. */
const PAUSE_MS = 350;

export function LetterPanel({
  sequence,
  onClose,
  onDropped,
}: {
  sequence: number;
  onClose: () => void;
  onDropped: () => void;
}) {
  const navigate = useNavigate();
  const letter = useQuery<Letter, Problem>({
    queryKey: ["letters", "one", sequence],
    queryFn: ({ signal }) => get<Letter>(`${PATH}/${sequence}`, undefined, signal),
    retry: false,
  });
  const [text, setText] = useState<string | null>(null);
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  /** The text that the verdict is about; `null`: the stored one. */
  const [judged, setJudged] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [sure, setSure] = useState(false);

  const stored = useMemo(() => {
    const body = letter.data?.verdict.body ?? letter.data?.payload ?? null;
    return { body, text: JSON.stringify(body, null, 2) };
  }, [letter.data]);
  const edited = useMemo(() => {
    if (text === null) return { value: stored.body, broken: false };
    try {
      return { value: JSON.parse(text) as Json, broken: false };
    } catch {
      return { value: null, broken: true };
    }
  }, [text, stored]);
  const patch = useMemo(() => (edited.broken ? [] : diff(stored.body, edited.value)), [edited, stored]);
  // Every edit is judged by the pipeline's own checks: no fault stays that is repaired.
  useEffect(() => {
    if (text === null || edited.broken || letter.data === undefined) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      post<Verdict>(`${PATH}/${sequence}/validate`, { patch }, { signal: stop.signal }).then(
        (found) => {
          setVerdict(found);
          setJudged(text);
          setError(null);
        },
        (failure: unknown) => {
          if (!stop.signal.aborted) setError(failure);
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, edited.broken, patch, sequence, letter.data]);

  const said = verdict ?? letter.data?.verdict;
  const waiting = text !== judged && !edited.broken && error === null;
  const faults = useMemo(() => (edited.broken ? [] : (said?.violations ?? [])), [edited.broken, said]);
  if (letter.error) return <ErrorNote error={letter.error} />;
  if (letter.data === undefined || said === undefined) return <div className="card" aria-busy="true" />;
  const found = letter.data;
  const replay = () =>
    void navigate({
      to: "/replays",
      search: { letters: String(sequence), ...(patch.length > 0 && { patch: keepPatch(patch) }) },
    });
  const replayAlike = () =>
    void navigate({
      to: "/replays",
      search: {
        letters: "all",
        ...(found.stage && { stage: found.stage }),
        ...(found.code && { code: found.code }),
        patch: keepPatch(guarded(stored.body, patch)),
      },
    });
  return (
    <section className="card letter" aria-label={`Letter ${sequence}`}>
      <div className="card-head">
        <h2>Letter {sequence}</h2>
        {found.request_id && (
          <Link className="mono link" to="/requests/$id" params={{ id: found.request_id }}>
            {shortId(found.request_id)}
          </Link>
        )}
        <span className="card-actions">
          <Copy text={`understudy dead show ${sequence}`}>Copy as command</Copy>
          <button type="button" className="button quiet" onClick={onClose} aria-label="Close the letter">
            ×
          </button>
        </span>
      </div>
      <div className="card-body letter-why">
        <p>
          <code className="nothing">{found.code}</code> <span className="dim">in {found.stage}</span>
        </p>
        <p>{found.reason}</p>
      </div>
      <Suspense fallback={<JsonText value={stored.body} />}>
        <JsonEditor
          label="Request"
          value={stored.text}
          original={stored.text}
          faults={faults}
          onChange={setText}
        />
      </Suspense>
      <div
        className={`letter-verdict ${waiting ? "faint" : !edited.broken && said.accepted ? "live" : "nothing"}`}
        role="status"
      >
        <span className="origin">
          {edited.broken
            ? "no JSON"
            : waiting
              ? "checking…"
              : said.accepted
                ? "would be accepted"
                : "would be refused"}
        </span>
        <span className="dim">
          {edited.broken
            ? "the text cannot be read yet"
            : waiting
              ? ""
              : said.accepted
                ? `at most ${count(said.max_tokens)} tokens${said.replay_of ? `, for ${shortId(said.replay_of)}` : ""}`
                : said.reason}
        </span>
      </div>
      {error !== null && (
        <div className="card-body">
          <ErrorNote error={error} />
        </div>
      )}
      <div className="card-foot">
        <span className="faint">
          {patch.length === 0 ? "unchanged" : `${patch.length} change${patch.length === 1 ? "" : "s"}`}
        </span>
        <span className="grow" />
        {sure ? (
          <>
            <span className="dim">Delete it for ever?</span>
            <button
              type="button"
              className="button danger"
              onClick={() => post(`${PATH}/${sequence}/drop`, {}).then(onDropped, setError)}
            >
              Delete
            </button>
            <button type="button" className="button" onClick={() => setSure(false)}>
              Keep
            </button>
          </>
        ) : (
          <button type="button" className="button danger" onClick={() => setSure(true)}>
            Drop
          </button>
        )}
        {patch.length > 0 && (
          <button
            type="button"
            className="button"
            title="Only letters whose fields have the same values are edited"
            disabled={!said.accepted || edited.broken || waiting}
            onClick={replayAlike}
          >
            Plan for all like it
          </button>
        )}
        <button
          type="button"
          className="button main"
          disabled={!said.accepted || edited.broken || waiting}
          onClick={replay}
        >
          Plan the replay
        </button>
      </div>
    </section>
  );
}
