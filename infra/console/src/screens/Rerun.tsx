// A request run again from a stage, as a shadow that nobody but this console sees; then both are compared.

import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { get, type Problem, post } from "../api/http";
import { count } from "../ui/format";
import { Copy, ErrorNote } from "../ui/parts";
import { shell } from "./filter";
import type { Band } from "./replayModel";
import { readValue } from "./replayModel";
import "./nodes/nodes.css";
import "./replays.css";

interface RerunPlan {
  job: string;
  original: string;
  request_id: string;
  estimate: { requests: number; unknown: number; tokens: Band; money: Band | null };
}
/** Milliseconds after the last change until the estimate is asked for. */
const PAUSE_MS = 500;
/** Seconds of one wait for the shadow. */
const WAIT_S = 25;
const STAGES = [
  ["context-build", "the beginning"],
  ["structuring", "structuring, with the stored draft"],
  ["validate-repair", "validate-repair, with the stored text"],
] as const;
/** Fields that are offered; the name is that of the API. */
const FIELDS = [
  ["model", "Model", "as before"],
  ["params.temperature", "Temperature", "as before"],
  ["seed", "Seed", "as before"],
  ["prompt", "Prompt version", "as before"],
] as const;

export function Rerun({ id, onClose }: { id: string; onClose: () => void }) {
  const navigate = useNavigate();
  const [from, setFrom] = useState<string>("context-build");
  const [fields, setFields] = useState<Record<string, string>>({});
  const [error, setError] = useState<unknown>(null);
  const [shadow, setShadow] = useState<string | null>(null);
  const set = Object.fromEntries(
    Object.entries(fields).flatMap(([name, text]) =>
      text.trim() === "" ? [] : [[name, readValue(text.trim())]],
    ),
  );
  const order = JSON.stringify({ from, set });
  const [resting, setResting] = useState(order);
  useEffect(() => {
    const timer = setTimeout(() => setResting(order), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [order]);
  const path = `/api/v1/generations/${encodeURIComponent(id)}/rerun`;
  const plan = useQuery<RerunPlan, Problem>({
    queryKey: ["rerun-plan", id, resting],
    queryFn: ({ signal }) => post<RerunPlan>(path, { ...JSON.parse(resting), dry_run: true }, { signal }),
    retry: false,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
  // The shadow is waited for; leaving the page leaves it running.
  useEffect(() => {
    if (shadow === null) return;
    const stop = new AbortController();
    const wait = async () => {
      for (;;) {
        const job = await get<{ result: unknown }>(
          `/api/generation-jobs/${encodeURIComponent(shadow)}`,
          { wait: WAIT_S },
          stop.signal,
        );
        if (job.result !== null) break;
      }
      void navigate({ to: "/compare", search: { a: id, b: shadow } });
    };
    wait().catch((failure: unknown) => {
      if (!stop.signal.aborted) setError(failure);
    });
    return () => stop.abort();
  }, [shadow, id, navigate]);
  const start = (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    post<RerunPlan>(path, JSON.parse(order)).then((found) => setShadow(found.request_id), setError);
  };
  const options = Object.entries(set).map(
    ([name, value]) =>
      ` --set ${shell(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`,
  );
  const command = `understudy rerun ${shell(id)}${from === "context-build" ? "" : ` --from ${from}`}${options.join("")}`;
  const estimate = plan.data?.estimate;
  const money = (value: number) => value.toFixed(4);
  return (
    <form className="card rerun" aria-label="Re-run" onSubmit={start}>
      <div className="card-head">
        <h2>Re-run as a shadow</h2>
        <span className="faint">no subscriber, cache or statistic sees its result</span>
        <span className="card-actions">
          <Copy text={command}>Copy as command</Copy>
          <button type="button" className="button quiet" aria-label="Close the re-run" onClick={onClose}>
            ×
          </button>
        </span>
      </div>
      <div className="card-body rerun-form">
        <label className="field">
          From
          <select className="input" value={from} onChange={(event) => setFrom(event.target.value)}>
            {STAGES.map(([stage, words]) => (
              <option key={stage} value={stage}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {FIELDS.map(([name, label, hint]) => (
          <label key={name} className="field">
            {label}
            <input
              className="input"
              placeholder={hint}
              spellCheck={false}
              value={fields[name] ?? ""}
              onChange={(event) => setFields((before) => ({ ...before, [name]: event.target.value }))}
            />
          </label>
        ))}
      </div>
      {(error ?? plan.error) !== null && (
        <div className="card-body">
          <ErrorNote error={error ?? plan.error} />
        </div>
      )}
      <div className="card-foot">
        <span className="dim grow" role="status">
          {shadow !== null
            ? `The shadow ${shadow} runs; the comparison opens when it has ended.`
            : estimate === undefined
              ? plan.error
                ? ""
                : "Estimating…"
              : estimate.unknown > 0
                ? "What it takes is not known: the original has no figures."
                : `About ${count(Math.round(estimate.tokens.likely))} tokens${
                    estimate.money === null ? "" : `, ${money(estimate.money.likely)} money`
                  }.`}
        </span>
        <button
          type="submit"
          className="button main"
          disabled={shadow !== null || plan.data === undefined || plan.isFetching || resting !== order}
        >
          {shadow === null ? "Run the shadow" : "Running…"}
        </button>
      </div>
    </form>
  );
}
