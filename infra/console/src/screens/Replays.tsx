// The replay desk: what is repeated and how, what it would come to, and the jobs.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import { get, Problem, post } from "../api/http";
import type { Page } from "../api/model";
import type { Operation } from "../edit/jsonPatch";
import { count, duration } from "../ui/format";
import { Copy, Empty, ErrorNote, Time } from "../ui/parts";
import { QueryBar } from "../ui/QueryBar";
import { type Filter, readFilter } from "./filter";
import { findPatch } from "./replayDraft";
import { type Band, type Draft, groupRefusals, type Job, type Plan, toCommand, toOrder } from "./replayModel";
import "./requests.css";
import "./board.css";
import "./nodes/nodes.css";
import "./replays.css";

export function Replays() {
  const search = useSearch({ from: "/replays" });
  return (
    <>
      <div className="page-head">
        <h1>Replays</h1>
      </div>
      {/* Another selection is another order. */}
      <Desk key={JSON.stringify([search.ids, search.letters, search.patch])} />
      <Jobs />
    </>
  );
}

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

function Desk() {
  const search = useSearch({ from: "/replays" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [draft, setDraft] = useState(() => startOf(search));
  const [patchText, setPatchText] = useState(() =>
    draft.patch.length > 0 ? JSON.stringify(draft.patch, null, 1) : "",
  );
  const [plan, setPlan] = useState<Plan | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const broken = useMemo(() => {
    if (patchText.trim() === "") return null;
    try {
      return Array.isArray(JSON.parse(patchText)) ? null : "a patch is a list of operations";
    } catch (failure) {
      return failure instanceof Error ? failure.message : String(failure);
    }
  }, [patchText]);
  const change = (next: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...next }));
    setPlan(null);
  };
  const begun =
    search.ids !== undefined || search.letters !== undefined || Object.keys(draft.filter).length > 0;

  const order = () =>
    toOrder({ ...draft, patch: patchText.trim() === "" ? [] : (JSON.parse(patchText) as Operation[]) });
  const dryRun = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    post<Plan>("/api/v1/replays", { ...order(), dry_run: true }).then(
      (found) => {
        setPlan(found);
        setBusy(false);
        void queries.invalidateQueries({ queryKey: ["replays"] });
      },
      (failure: unknown) => {
        setError(failure);
        setBusy(false);
      },
    );
  };
  const start = () => {
    if (plan === null || plan.job === null) return;
    setBusy(true);
    post<Job>(`/api/v1/replays/${plan.job}/resume`, {}).then(
      (job) => void navigate({ to: "/replays/$job", params: { job: String(job.job) } }),
      (failure: unknown) => {
        // What is repeated has changed since the plan: the plan no longer says what would happen.
        if (failure instanceof Problem && failure.status === 412) setPlan(null);
        setError(failure);
        setBusy(false);
      },
    );
  };
  return (
    <form className="card desk" aria-label="New replay" onSubmit={dryRun}>
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
        <Copy text={toCommand(draft)}>Copy as command</Copy>
      </div>
      <div className="card-body desk-form">
        {draft.ids !== null ? (
          <p className="wide">
            {draft.ids.length === 1 ? "One of them: " : `${count(draft.ids.length)} of them: `}
            <span className="mono">{draft.ids.slice(0, 6).join(", ")}</span>
            {draft.ids.length > 6 && " …"}{" "}
            <button type="button" className="button quiet" onClick={() => change({ ids: null })}>
              choose by filter
            </button>
          </p>
        ) : (
          <div className="wide">
            <QueryBar
              filter={draft.filter}
              onChange={(filter) => change({ filter })}
              placeholder={
                draft.of === "letters"
                  ? "stage:validate-repair code:GEN_SCHEMA_INVALID; empty: all"
                  : "status:fail_fallback since:1h; empty: all"
              }
            />
          </div>
        )}
        <label className="field wide">
          Edit, as JSON Patch
          <textarea
            className="input mono"
            rows={patchText === "" ? 1 : 5}
            spellCheck={false}
            aria-invalid={broken !== null}
            placeholder='[{"op": "test", "path": "/params/temperature", "value": 9}, {"op": "replace", "path": "/params/temperature", "value": 0.9}]'
            value={patchText}
            onChange={(event) => {
              setPatchText(event.target.value);
              setPlan(null);
            }}
          />
          {broken !== null && <span className="nothing">{broken}</span>}
        </label>
        <label className="field">
          From
          <select
            className="input"
            value={draft.from}
            onChange={(event) => change({ from: event.target.value as Draft["from"] })}
          >
            <option value="">the beginning</option>
            <option value="structuring">structuring, with the stored draft</option>
            <option value="validate-repair">validate-repair, with the stored text</option>
          </select>
        </label>
        <label className="field">
          Rate, requests/s
          <input
            className="input"
            inputMode="decimal"
            placeholder="as fast as it goes"
            value={draft.rate}
            onChange={(event) => change({ rate: event.target.value })}
          />
        </label>
        <label className="field">
          Budget, tokens
          <input
            className="input"
            inputMode="numeric"
            placeholder="no limit"
            value={draft.tokens}
            onChange={(event) => change({ tokens: event.target.value })}
          />
        </label>
        <label className="field">
          Budget, money
          <input
            className="input"
            inputMode="decimal"
            placeholder="no limit"
            value={draft.money}
            onChange={(event) => change({ money: event.target.value })}
          />
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={draft.again}
            onChange={(event) => change({ again: event.target.checked })}
          />
          also what was replayed before
        </label>
        {draft.of === "requests" && (
          <label className="check">
            <input
              type="checkbox"
              checked={draft.fresh}
              onChange={(event) => change({ fresh: event.target.checked })}
            />
            anew, also what the cache has
          </label>
        )}
      </div>
      {error !== null && (
        <div className="card-body">
          <ErrorNote error={error} />
        </div>
      )}
      {plan !== null && <PlanView plan={plan} rate={Number(draft.rate) || null} />}
      <div className="card-foot">
        <span className="faint grow">{plan === null ? "A dry run publishes nothing." : ""}</span>
        <button
          type="submit"
          className={plan === null ? "button main" : "button"}
          disabled={busy || broken !== null}
        >
          {busy && plan === null
            ? "Planning…"
            : plan === null
              ? begun
                ? "Dry run"
                : "Dry run over all"
              : "Dry run again"}
        </button>
        {plan !== null && (
          <button
            type="button"
            className="button main"
            disabled={busy || (plan.counts.planned ?? 0) === 0}
            onClick={start}
          >
            Start {count(plan.counts.planned ?? 0)}
          </button>
        )}
      </div>
    </form>
  );
}

const band = (found: Band, unit: (value: number) => string): string =>
  found.low === found.high
    ? unit(found.likely)
    : `${unit(found.likely)}, from ${unit(found.low)} to ${unit(found.high)}`;

function PlanView({ plan, rate }: { plan: Plan; rate: number | null }) {
  const { counts, estimate } = plan;
  const planned = counts.planned ?? 0;
  const refusals = groupRefusals(plan.items);
  const shown = refusals.reduce((sum, [, items]) => sum + items.length, 0);
  return (
    <section className="plan" aria-label="Plan">
      <dl className="plan-figures">
        <div>
          <dt>Would be published</dt>
          <dd className="num">{count(planned)}</dd>
        </div>
        <div>
          <dt>Refused</dt>
          <dd className={`num ${(counts.refused ?? 0) > 0 ? "nothing" : ""}`}>
            {count(counts.refused ?? 0)}
          </dd>
        </div>
        <div>
          <dt>Replayed before</dt>
          <dd className="num">{count(counts.present ?? 0)}</dd>
        </div>
        <div>
          <dt>From the cache</dt>
          <dd className={`num ${(counts.cached ?? 0) > 0 ? "cache" : ""}`}>{count(counts.cached ?? 0)}</dd>
        </div>
      </dl>
      <dl className="facts">
        <dt>Tokens</dt>
        <dd>
          {band(estimate.tokens, (value) => count(Math.round(value)))}
          {estimate.unknown > 0 && (
            <span className="standin"> and {count(estimate.unknown)} requests of kinds without a record</span>
          )}
        </dd>
        <dt>Money</dt>
        <dd>
          {estimate.money === null ? "no price is known" : band(estimate.money, (value) => value.toFixed(2))}
        </dd>
        <dt>Time</dt>
        <dd>
          {rate !== null && `${duration((planned / rate) * 1000)} to publish; `}
          {band(estimate.seconds, (value) => duration(value * 1000))} for the slowest
        </dd>
        <dt>Plan</dt>
        <dd className="mono">
          {plan.plan_hash.slice(0, 16)} {plan.job !== null && <span className="faint">job {plan.job}</span>}
        </dd>
      </dl>
      {refusals.length > 0 && (
        <ul className="refusals">
          {refusals.slice(0, 8).map(([reason, items]) => (
            <li key={reason}>
              <span className="num">{count(items.length)}</span>
              <span>{reason}</span>
              <span className="mono faint cut">
                {items
                  .slice(0, 4)
                  .map((item) => item.letter ?? item.replay_of ?? item.request_id)
                  .join(", ")}
              </span>
            </li>
          ))}
          {(counts.refused ?? 0) > shown && (
            <li className="faint">and {count((counts.refused ?? 0) - shown)} more</li>
          )}
        </ul>
      )}
    </section>
  );
}

export const STATE_ACCENT: Record<Job["state"], string> = {
  planning: "faint",
  planned: "faint",
  running: "cache",
  paused: "standin",
  stopped: "standin",
  done: "live",
  undone: "scripted",
};

function Jobs() {
  const jobs = useQuery<Page<Job>, Problem>({
    queryKey: ["replays"],
    queryFn: ({ signal }) => get<Page<Job>>("/api/v1/replays", { limit: 50 }, signal),
    refetchInterval: 3000,
    retry: false,
  });
  return (
    <section className="card jobs" aria-label="Jobs">
      <div className="card-head">
        <h2>Jobs</h2>
        <span className="faint">newest first</span>
      </div>
      {jobs.error && <ErrorNote error={jobs.error} />}
      {jobs.data && jobs.data.items.length === 0 && (
        <Empty
          title="Nothing was replayed yet"
          command="understudy replay --status fail_fallback --since 1h --dry-run"
        />
      )}
      {jobs.data && jobs.data.items.length > 0 && (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th className="num">Job</th>
                <th>State</th>
                <th>Made</th>
                <th>What</th>
                <th className="num">Generated</th>
                <th className="num">Tokens, about</th>
                <th>Note</th>
              </tr>
            </thead>
            <tbody>
              {jobs.data.items.map((job) => (
                <tr key={job.job}>
                  <td className="num">
                    <Link className="link" to="/replays/$job" params={{ job: String(job.job) }}>
                      {job.job}
                    </Link>
                  </td>
                  <td>
                    <span className={`origin ${STATE_ACCENT[job.state]}`}>{job.state}</span>
                  </td>
                  <td>
                    <Time at={job.created_ms} />
                  </td>
                  <td className="mono">{job.source}</td>
                  <td className="num">{count(job.estimate.generated)}</td>
                  <td className="num">{count(Math.round(job.estimate.tokens.likely))}</td>
                  <td className="dim">{job.note}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
