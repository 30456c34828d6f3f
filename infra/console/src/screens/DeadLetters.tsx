// Dead letters: grouped by what is wrong, opened, edited with today's verdict beside, replayed or dropped.

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { useEvents } from "../api/hooks";
import { type Fault, get, type Problem, post } from "../api/http";
import type { Page } from "../api/model";
import { diff, guarded, type Json } from "../edit/jsonPatch";
import { count, shortId } from "../ui/format";
import { Copy, Empty, ErrorNote, Json as JsonText, Time } from "../ui/parts";
import { QueryBar } from "../ui/QueryBar";
import { VirtualRows } from "../ui/VirtualRows";
import { type Filter, formatFilter, readFilter, toOptions, toQuery } from "./filter";
import { keepPatch } from "./replayDraft";
import "./requests.css";
import "./dead.css";

const JsonEditor = lazy(() =>
  import("../edit/JsonEditor").then((module) => ({ default: module.JsonEditor })),
);

interface LetterRow {
  sequence: number;
  time: string;
  stage: string | null;
  kind: string | null;
  request_id: string | null;
  code: string | null;
  reason: string;
}
interface Group {
  stage: string | null;
  code: string | null;
  field: string | null;
  letters: number;
  last: number;
  time: string;
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

const PATH = "/api/v1/dead-letters";

export function DeadLetters() {
  const search = useSearch({ from: "/dead" });
  const filter: Filter = readFilter(search);
  const field = search.field;
  const open = search.seq;
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [fresh, setFresh] = useState(0);
  const query = { ...toQuery(filter), ...(field && { field }) };
  const groups = useQuery<{ items: Group[] }, Problem>({
    queryKey: ["letters", "groups", filter],
    queryFn: ({ signal }) => get<{ items: Group[] }>(`${PATH}/groups`, toQuery(filter), signal),
    retry: false,
  });
  const list = useInfiniteQuery<Page<LetterRow>, Problem>({
    queryKey: ["letters", "list", query],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get<Page<LetterRow>>(PATH, { ...query, limit: 100, cursor: pageParam as string }, signal),
    getNextPageParam: (page) => page.next ?? undefined,
    retry: false,
  });
  useEvents((event) => {
    if (event.stream === "DEAD" || event.subject.startsWith("dead.")) setFresh((before) => before + 1);
  });
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const refresh = () => {
    setFresh(0);
    void queries.invalidateQueries({ queryKey: ["letters"] });
  };
  const toggle = (sequence: number) =>
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(sequence)) after.add(sequence);
      return after;
    });
  const go = (change: Filter & { seq?: string; field?: string }) =>
    void navigate({ to: "/dead", search: change });
  const filtered = formatFilter(filter) !== "" || field !== undefined;

  return (
    <>
      <div className="page-head">
        <h1>Dead letters</h1>
        <div className="grow" />
        {selected.size > 0 && (
          <Link className="button" to="/replays" search={{ letters: [...selected].join(",") }}>
            Replay {selected.size}
          </Link>
        )}
        {selected.size === 0 && rows.length > 0 && (
          <Link className="button" to="/replays" search={{ ...filter, letters: "all" }}>
            Replay all of these
          </Link>
        )}
        <Copy text={`understudy dead ls ${toOptions(filter)}`.trim()}>Copy as command</Copy>
        {fresh > 0 && (
          <button type="button" className="button" onClick={refresh}>
            Show {count(fresh)} new
          </button>
        )}
      </div>
      <div className="toolbar">
        <QueryBar
          filter={filter}
          onChange={go}
          placeholder="stage:validate-repair code:GEN_SCHEMA_INVALID kind:layout"
        />
        {field && (
          <button type="button" className="button" onClick={() => go(filter)}>
            field <code>{field}</code> ×
          </button>
        )}
      </div>
      {list.error && <ErrorNote error={list.error} retry={() => void list.refetch()} />}
      {list.data && rows.length === 0 && (
        <div className="card">
          {filtered ? (
            <Empty title="No letter matches" />
          ) : (
            <Empty title="No dead letters">
              What cannot be handled, and what was refused, would be here.
            </Empty>
          )}
        </div>
      )}
      {rows.length > 0 && (
        <div className={open === undefined ? "dead-columns" : "dead-columns with-letter"}>
          <div className="stack">
            {open === undefined && (
              <Groups
                groups={groups.data?.items ?? []}
                onOpen={(group) => go({ ...filter, ...choice(group) })}
              />
            )}
            <div className="card">
              <VirtualRows
                label="Dead letters"
                rows={rows}
                keyOf={(row) => String(row.sequence)}
                onOpen={(row) => go({ ...filter, ...(field && { field }), seq: String(row.sequence) })}
                onSelect={(row) => toggle(row.sequence)}
                onNearEnd={more}
                height={open === undefined ? "calc(100vh - 420px)" : "calc(100vh - 190px)"}
                header={
                  <div role="row" className="letter-row">
                    <span role="columnheader">
                      <span className="hidden">Selected</span>
                    </span>
                    <span role="columnheader" className="num">
                      No.
                    </span>
                    <span role="columnheader">Time</span>
                    <span role="columnheader">Kind</span>
                    <span role="columnheader">What is wrong</span>
                  </div>
                }
              >
                {(row) => (
                  <div className={open === String(row.sequence) ? "letter-row open" : "letter-row"}>
                    <span role="cell">
                      <input
                        type="checkbox"
                        aria-label={`Select letter ${row.sequence}`}
                        checked={selected.has(row.sequence)}
                        onChange={() => toggle(row.sequence)}
                      />
                    </span>
                    <span role="cell" className="num">
                      <Link
                        to="/dead"
                        search={{ ...filter, ...(field && { field }), seq: String(row.sequence) }}
                        aria-label={`Letter ${row.sequence}`}
                      >
                        {row.sequence}
                      </Link>
                    </span>
                    <span role="cell">
                      <Time at={row.time} />
                    </span>
                    <span role="cell">{row.kind ?? "–"}</span>
                    <span role="cell" className="cut dim" title={row.reason}>
                      <code>{row.code}</code> {row.reason}
                    </span>
                  </div>
                )}
              </VirtualRows>
            </div>
          </div>
          {open !== undefined && (
            <LetterPanel
              key={open}
              sequence={Number(open)}
              onClose={() => go({ ...filter, ...(field && { field }) })}
              onDropped={() => {
                refresh();
                go(filter);
              }}
            />
          )}
        </div>
      )}
    </>
  );
}

const choice = (group: Group): Filter & { field?: string } => ({
  ...(group.stage && { stage: group.stage }),
  ...(group.code && { code: group.code }),
  ...(group.field && { field: group.field }),
});

function Groups({ groups, onOpen }: { groups: Group[]; onOpen: (group: Group) => void }) {
  return (
    <section className="card" aria-label="Groups">
      <table className="table">
        <thead>
          <tr>
            <th className="num">Letters</th>
            <th>Stage</th>
            <th>Code</th>
            <th>Field</th>
            <th>Newest</th>
            <th>Reason</th>
          </tr>
        </thead>
        <tbody>
          {groups.slice(0, 6).map((group) => (
            <tr key={`${group.stage}/${group.code}/${group.field}`}>
              <td className="num">
                <button type="button" className="button quiet" onClick={() => onOpen(group)}>
                  {count(group.letters)}
                </button>
              </td>
              <td>{group.stage ?? "–"}</td>
              <td>
                <code>{group.code ?? "–"}</code>
              </td>
              <td>
                <code>{group.field ?? ""}</code>
              </td>
              <td>
                <Time at={group.time} />
              </td>
              <td className="dim">
                <span className="clamp">{group.reason}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Milliseconds after the last key until the verdict is asked for. */
const PAUSE_MS = 350;

function LetterPanel({
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
