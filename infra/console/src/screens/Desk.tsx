// The desk of a replay: what is repeated and how, and a plan that follows every change.

import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { Problem, post } from "../api/http";
import type { Operation } from "../edit/jsonPatch";
import { count } from "../ui/format";
import { Copy, ErrorNote } from "../ui/parts";
import { QueryBar } from "../ui/QueryBar";
import { type Filter, formatFilter, readFilter } from "./filter";
import { PatchEditor } from "./PatchEditor";
import { PlanView } from "./PlanView";
import { findPatch } from "./replayDraft";
import { type Draft, type Job, type Plan, readAmount, readPatch, toCommand, toOrder } from "./replayModel";

/** Milliseconds after the last change until the plan is made anew. */
const PAUSE_MS = 600;

function startOf(search: { ids?: string; letters?: string; patch?: string } & Filter): Draft {
  const letters = search.letters !== undefined;
  const named = letters ? search.letters : search.ids;
  return {
    of: letters ? "letters" : "requests",
    ids: named === undefined || named === "all" ? null : named.split(",").filter((id) => id !== ""),
    filter: readFilter(search),
    patch: search.patch === undefined ? [] : (findPatch(search.patch) ?? []),
    from: "",
    fresh: false,
    again: false,
    rate: "",
    tokens: "",
    money: "",
  };
}

/** What is selected, as one text. */
const nameOf = ({ of, ids, filter }: Draft): string => JSON.stringify([of, ids, formatFilter(filter)]);

/** A value that follows another one when that rests. */
function useResting<T>(value: T, ms: number): T {
  const [resting, setResting] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setResting(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return resting;
}

export function Desk() {
  const search = useSearch({ from: "/replays" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [draft, setDraft] = useState(() => startOf(search));
  const [patchText, setPatchText] = useState(() => writePatch(draft.patch));
  // What the address names is planned at once; everything there is, only when somebody says so.
  const [asked, setAsked] = useState(draft.ids !== null || formatFilter(draft.filter) !== "");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [changes, setChanges] = useState<string[] | null>(null);

  // A link to another selection, or the way back.
  const shown = useRef(draft);
  useEffect(() => {
    shown.current = draft;
  });
  useEffect(() => {
    const given = startOf(search);
    if (nameOf(given) === nameOf(shown.current)) return;
    setDraft((before) => ({ ...before, of: given.of, ids: given.ids, filter: given.filter }));
    setAsked(given.ids !== null || formatFilter(given.filter) !== "");
  }, [search]);

  const patch = useMemo(() => readPatch(patchText), [patchText]);
  const broken = typeof patch === "string" ? patch : null;
  const whole: Draft = { ...draft, patch: typeof patch === "string" ? [] : patch };
  const order = JSON.stringify(toOrder(whole));
  const resting = useResting(order, PAUSE_MS);
  const planning = useQuery<Plan, Problem>({
    queryKey: ["replay-plan", resting],
    enabled: asked && broken === null,
    queryFn: async ({ signal }) => {
      const body = { ...JSON.parse(resting), dry_run: true };
      const found = await post<Plan>("/api/v1/replays", body, { signal });
      void queries.invalidateQueries({ queryKey: ["replays"] });
      return found;
    },
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
  });
  const plan = planning.data;
  const current =
    plan !== undefined && resting === order && !planning.isFetching && !planning.error && broken === null;
  const change = (next: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...next }));
    setError(null);
    setChanges(null);
    // The address says what is selected, so that it survives a reload and the way back.
    if ("filter" in next || "of" in next || "ids" in next) {
      const { of, ids, filter } = { ...draft, ...next };
      void navigate({
        to: "/replays",
        replace: true,
        search: {
          ...filter,
          ...(of === "letters" && { letters: ids === null ? "all" : ids.join(",") }),
          ...(of === "requests" && ids !== null && { ids: ids.join(",") }),
          ...(search.patch !== undefined && { patch: search.patch }),
        },
      });
    }
  };

  const start = () => {
    if (plan === undefined) return;
    setBusy(true);
    setError(null);
    setChanges(null);
    post<Job>("/api/v1/replays", { ...JSON.parse(order), plan_hash: plan.plan_hash }).then(
      (job) => void navigate({ to: "/replays/$job", params: { job: String(job.job) } }),
      (failure: unknown) => {
        setBusy(false);
        if (failure instanceof Problem && failure.status === 412) {
          setChanges((failure.document.differences as string[] | undefined) ?? []);
          void planning.refetch();
        } else setError(failure);
      },
    );
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    setChanges(null);
    setAsked(true);
    if (asked) void planning.refetch();
  };
  const planned = plan?.counts.planned ?? 0;
  return (
    <form className="card desk" aria-label="New replay" onSubmit={submit}>
      <div className="card-head">
        <h2>Repeat</h2>
        <fieldset className="quick">
          <legend className="hidden">What</legend>
          {(["requests", "letters"] as const).map((of) => (
            <button
              key={of}
              type="button"
              aria-pressed={draft.of === of}
              onClick={() => change({ of, ids: null })}
            >
              {of === "letters" ? "dead letters" : of}
            </button>
          ))}
        </fieldset>
        <Copy text={toCommand(whole, location.origin)}>Copy as command</Copy>
      </div>
      <div className="card-body desk-form">
        <Selection draft={draft} onChange={change} />
        <PatchEditor
          text={patchText}
          patch={patch}
          many={draft.ids === null || draft.ids.length > 1}
          onChange={(text) => {
            setPatchText(text);
            setError(null);
            setChanges(null);
          }}
        />
        <How draft={draft} onChange={change} />
      </div>
      {changes !== null && (
        <div className="card-body">
          <Changed changes={changes} />
        </div>
      )}
      {(error ?? planning.error) !== null && (
        <div className="card-body">
          <ErrorNote error={error ?? planning.error} />
        </div>
      )}
      {plan !== undefined && !planning.error && (
        <PlanView
          plan={plan}
          current={current}
          letters={draft.of === "letters"}
          rate={readAmount(draft.rate)}
        />
      )}
      <div className="card-foot">
        <span className="faint grow" role="status">
          {broken !== null
            ? "The patch cannot be read yet."
            : planning.isFetching
              ? "Planning…"
              : plan === undefined
                ? "A plan publishes nothing."
                : current
                  ? planned === 0
                    ? "Nothing would be published."
                    : "The plan is up to date. Starting checks it once more."
                  : ""}
        </span>
        <button
          type="submit"
          className={plan === undefined ? "button main" : "button"}
          disabled={planning.isFetching || broken !== null}
        >
          {asked || draft.ids !== null || formatFilter(draft.filter) !== "" ? "Plan" : `Plan all ${draft.of}`}
        </button>
        {plan !== undefined && (
          <>
            <Copy text={toCommand(whole, location.origin, plan.plan_hash)}>Copy start as command</Copy>
            <button
              type="button"
              className="button main"
              disabled={!current || busy || planned === 0}
              onClick={start}
            >
              Start {count(planned)}
            </button>
          </>
        )}
      </div>
    </form>
  );
}

const writePatch = (patch: Operation[]): string =>
  patch.length === 0 ? "" : `[\n${patch.map((each) => `  ${JSON.stringify(each)}`).join(",\n")}\n]`;

type Change = (next: Partial<Draft>) => void;

function Selection({ draft, onChange }: { draft: Draft; onChange: Change }) {
  if (draft.ids === null) {
    return (
      <div className="wide">
        <QueryBar
          filter={draft.filter}
          onChange={(filter) => onChange({ filter })}
          placeholder={
            draft.of === "letters"
              ? "stage:validate-repair code:GEN_SCHEMA_INVALID; empty: all"
              : "status:fail_fallback since:1h; empty: all"
          }
        />
      </div>
    );
  }
  const ids = draft.ids;
  return (
    <div className="wide chosen-ids">
      <span className="dim">
        {draft.of === "letters" ? "letter" : "request"}
        {ids.length === 1 ? "" : "s"}
      </span>
      {ids.slice(0, 12).map((id) => (
        <button
          key={id}
          type="button"
          className="word mono"
          aria-label={`Leave out ${id}`}
          disabled={ids.length === 1}
          onClick={() => onChange({ ids: ids.filter((each) => each !== id) })}
        >
          {id}
          {ids.length > 1 && " ×"}
        </button>
      ))}
      {ids.length > 12 && <span className="faint">and {count(ids.length - 12)} more</span>}
      <button type="button" className="button quiet" onClick={() => onChange({ ids: null })}>
        Choose by filter
      </button>
    </div>
  );
}

function How({ draft, onChange }: { draft: Draft; onChange: Change }) {
  const amount = (name: "rate" | "tokens" | "money", label: string, hint: string) => (
    <label
      className={
        draft[name].trim() !== "" && readAmount(draft[name]) === undefined ? "field invalid" : "field"
      }
    >
      {label}
      <input
        className="input"
        inputMode="decimal"
        placeholder={hint}
        value={draft[name]}
        aria-invalid={draft[name].trim() !== "" && readAmount(draft[name]) === undefined}
        onChange={(event) => onChange({ [name]: event.target.value })}
      />
    </label>
  );
  return (
    <>
      <label className="field">
        From
        <select
          className="input"
          value={draft.from}
          onChange={(event) => onChange({ from: event.target.value as Draft["from"] })}
        >
          <option value="">the beginning</option>
          <option value="structuring">structuring, with the stored draft</option>
          <option value="validate-repair">validate-repair, with the stored text</option>
        </select>
      </label>
      {amount("rate", "Rate, requests/s", "as fast as it goes")}
      {amount("tokens", "Budget, tokens", "no limit")}
      {amount("money", "Budget, money", "no limit")}
      <label className="check">
        <input
          type="checkbox"
          checked={draft.again}
          onChange={(event) => onChange({ again: event.target.checked })}
        />
        also what was replayed before
      </label>
      {draft.of === "requests" && (
        <label className="check">
          <input
            type="checkbox"
            checked={draft.fresh}
            onChange={(event) => onChange({ fresh: event.target.checked })}
          />
          anew, also what the cache has
        </label>
      )}
    </>
  );
}

/** Why a start was refused: what would be published is not what the plan said. */
function Changed({ changes }: { changes: string[] }) {
  return (
    <div className="note warn" role="alert">
      <strong>Nothing was started: the selection has changed since the plan</strong>
      {changes.slice(0, 6).map((line) => (
        <code key={line}>{line}</code>
      ))}
      {changes.length > 6 && <span className="faint">and {count(changes.length - 6)} more</span>}
      <span className="dim">The plan below is the new one.</span>
    </div>
  );
}
