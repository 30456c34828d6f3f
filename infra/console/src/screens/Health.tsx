// Health: what is wrong and what mends it; providers, queues, streams, cache and budgets.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { get, type Problem } from "../api/http";
import { count, duration, percent } from "../ui/format";
import { Command, Empty, ErrorNote, Time } from "../ui/parts";
import "./health.css";

interface Check {
  check: string;
  ok: boolean;
  severity: "ok" | "info" | "warning" | "error";
  detail: string;
  fix: string;
}
interface Doctor {
  ok: boolean;
  checked_at: string;
  checks: Check[];
}
interface Circuit {
  process: string;
  state: string;
  failures: number;
}
interface Providers {
  enabled: boolean;
  circuits_known: boolean;
  unserved: string[];
  models: {
    provider: string;
    kinds: string[];
    model: string;
    place: string;
    ok: boolean;
    detail: string;
    fix: string;
    circuits: Circuit[];
    last_error: { at: string; request_id: string; code: string; message: string } | null;
  }[];
}
interface Topology {
  streams: {
    name: string;
    messages: number;
    bytes: number;
    max_bytes: number | null;
    max_age_s: number;
    replicas: number;
  }[];
  consumers: {
    stream: string;
    stage: string;
    waiting: number;
    ack_pending: number;
    redelivered: number;
    oldest_age_s: number | null;
    problem: string;
    fix: string;
  }[];
  differences: string[];
}
interface Cache {
  entries: number;
  size: number;
  hit_rate: number | null;
  counts: Record<string, number>;
}
interface Amounts {
  tokens: number | null;
  cost: number | null;
  generations: number | null;
}
interface Budgets {
  limits: { window_s: number; total: Amounts };
  accounts: {
    scope: string;
    workspace: string | null;
    node: string | null;
    opens_again: string;
    cap: Amounts;
    spent: Amounts;
    reserved: Amounts;
  }[];
}

/** Something that is looked at again while the page is seen. */
const useLook = <T,>(name: string, path: string, seconds: number) =>
  useQuery<T, Problem>({
    queryKey: [name],
    queryFn: ({ signal }) => get<T>(path, undefined, signal),
    refetchInterval: seconds * 1000,
    retry: false,
  });

export function Health() {
  return (
    <>
      <div className="page-head">
        <h1>Health</h1>
      </div>
      <div className="health-columns">
        <div className="stack">
          <Findings />
          <Consumers />
        </div>
        <div className="stack">
          <ProviderList />
          <CacheCard />
          <BudgetList />
        </div>
      </div>
    </>
  );
}

function Panel({
  title,
  aside,
  error,
  children,
}: {
  title: string;
  aside?: ReactNode;
  error: Problem | null;
  children: ReactNode;
}) {
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        {aside && <span className="faint">{aside}</span>}
      </div>
      {error ? (
        <div className="card-body">
          <ErrorNote error={error} />
        </div>
      ) : (
        children
      )}
    </section>
  );
}

const RANK = { error: 0, warning: 1, info: 2, ok: 3 } as const;
const ACCENT = { error: "nothing", warning: "standin", info: "faint", ok: "live" } as const;

function Findings() {
  const doctor = useLook<Doctor>("doctor", "/api/v1/doctor", 15);
  const checks = [...(doctor.data?.checks ?? [])].sort((a, b) => RANK[a.severity] - RANK[b.severity]);
  const open = checks.filter((check) => check.severity !== "ok");
  const fine = checks.filter((check) => check.severity === "ok");
  return (
    <Panel
      title="Findings"
      error={doctor.error}
      aside={
        doctor.data && (
          <>
            {doctor.data.ok ? "nothing is wrong" : "something is wrong"}, <Time at={doctor.data.checked_at} />
          </>
        )
      }
    >
      {doctor.data === undefined && <p className="card-body dim">The checks run…</p>}
      <ul className="findings">
        {open.map((check) => (
          <Finding key={check.check} check={check} />
        ))}
      </ul>
      {fine.length > 0 && (
        <details className="fine">
          <summary>{fine.length} more are fine</summary>
          <ul className="findings">
            {fine.map((check) => (
              <Finding key={check.check} check={check} />
            ))}
          </ul>
        </details>
      )}
    </Panel>
  );
}

const Finding = ({ check }: { check: Check }) => (
  <li>
    <span className={`origin ${ACCENT[check.severity]}`}>
      <span className="hidden">{check.severity}</span>
    </span>
    <b>{check.check}</b>
    <span className="dim">
      {check.detail}
      {check.fix && <span className="finding-fix">{check.fix}</span>}
    </span>
  </li>
);

function Consumers() {
  const topology = useLook<Topology>("topology", "/api/v1/topology", 2);
  return (
    <>
      <Panel title="Queues" error={topology.error}>
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th>Stage</th>
                <th>Stream</th>
                {["Waiting", "In work", "Again", "Oldest"].map((name) => (
                  <th key={name} className="num">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {topology.data?.consumers.map((consumer) => (
                <tr key={`${consumer.stream}/${consumer.stage}`}>
                  <td>
                    {consumer.stage}
                    {consumer.problem && (
                      <div className="nothing">
                        {consumer.problem}; {consumer.fix}
                      </div>
                    )}
                  </td>
                  <td className="dim">{consumer.stream}</td>
                  <td className="num">{count(consumer.waiting)}</td>
                  <td className="num">{count(consumer.ack_pending)}</td>
                  <td className={`num ${consumer.redelivered > 0 ? "standin" : ""}`}>
                    {count(consumer.redelivered)}
                  </td>
                  <td className="num">
                    {consumer.oldest_age_s === null ? "–" : duration(consumer.oldest_age_s * 1000)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Panel>
      <Panel title="Streams" error={null}>
        <table className="table">
          <thead>
            <tr>
              <th>Stream</th>
              <th className="num">Messages</th>
              <th className="num">Size</th>
              <th className="num">Kept for</th>
              <th className="num">Copies</th>
            </tr>
          </thead>
          <tbody>
            {topology.data?.streams.map((stream) => (
              <tr key={stream.name}>
                <td>{stream.name}</td>
                <td className="num">{count(stream.messages)}</td>
                <td className="num">
                  {bytes(stream.bytes)}
                  {stream.max_bytes !== null && <span className="faint"> of {bytes(stream.max_bytes)}</span>}
                </td>
                <td className="num">{Math.round(stream.max_age_s / 86_400)} d</td>
                <td className="num">{stream.replicas}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {topology.data?.differences.map((difference) => (
          <p key={difference} className="card-body nothing">
            {difference} <Command text="understudy topology apply" />
          </p>
        ))}
      </Panel>
    </>
  );
}

const bytes = (value: number): string => {
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(0)} KiB`;
  if (value < 1024 ** 3) return `${(value / 1024 ** 2).toFixed(1)} MiB`;
  return `${(value / 1024 ** 3).toFixed(2)} GiB`;
};

const CIRCUIT = { closed: "live", open: "nothing", half_open: "standin" } as Record<string, string>;

function ProviderList() {
  const providers = useLook<Providers>("providers", "/api/v1/providers", 5);
  return (
    <Panel title="Providers" error={providers.error}>
      {providers.data && !providers.data.enabled && (
        <p className="card-body">
          Model calls are turned off: stand-ins answer. <code>USE_LOCAL_MODEL=true</code> turns them on.
        </p>
      )}
      <ul className="providers">
        {providers.data?.models.map((model) => (
          <li key={`${model.provider}/${model.model}`}>
            <div className="provider-head">
              <b>{model.provider}</b> <span className="dim cut">{model.model || model.place}</span>
              <span
                className={`origin ${model.ok ? (CIRCUIT[model.circuits[0]?.state ?? "closed"] ?? "live") : "nothing"}`}
              >
                {model.ok ? (model.circuits[0]?.state ?? "ready").replace("_", " ") : "not ready"}
              </span>
            </div>
            <span className="faint">{model.kinds.join(", ")}</span>
            {!model.ok && (
              <span className="nothing">
                {model.detail}; {model.fix}
              </span>
            )}
            {model.last_error && (
              <span className="dim">
                <Time at={model.last_error.at} />{" "}
                <Link className="link" to="/requests/$id" params={{ id: model.last_error.request_id }}>
                  <code>{model.last_error.code}</code>
                </Link>{" "}
                {model.last_error.message}
              </span>
            )}
          </li>
        ))}
      </ul>
      {providers.data && providers.data.unserved.length > 0 && (
        <p className="card-body standin">Nothing writes {providers.data.unserved.join(", ")}.</p>
      )}
    </Panel>
  );
}

function CacheCard() {
  const cache = useLook<Cache>("cache", "/api/v1/cache/stats", 5);
  return (
    <Panel title="Cache" error={cache.error}>
      {cache.data && (
        <dl className="facts card-body">
          <dt>Entries</dt>
          <dd>
            {count(cache.data.entries)}, {bytes(cache.data.size)}
          </dd>
          <dt>Hits</dt>
          <dd className={cache.data.hit_rate ? "cache" : ""}>{percent(cache.data.hit_rate)}</dd>
          {Object.entries(cache.data.counts)
            .filter(([, number]) => number > 0)
            .map(([name, number]) => (
              <div key={name} style={{ display: "contents" }}>
                <dt>{name.replace("_", " ")}</dt>
                <dd>{count(number)}</dd>
              </div>
            ))}
        </dl>
      )}
    </Panel>
  );
}

function BudgetList() {
  const budgets = useLook<Budgets>("budgets", "/api/v1/budgets", 5);
  const accounts = budgets.data?.accounts ?? [];
  return (
    <Panel title="Budgets" error={budgets.error}>
      {budgets.data && accounts.length === 0 && <Empty title="Nothing has a limit, or nothing was spent" />}
      <ul className="providers">
        {accounts.map((account) => (
          <li key={`${account.scope}/${account.workspace}/${account.node}`}>
            <div className="provider-head">
              <b>{account.node ?? account.workspace ?? "all"}</b>
              <span className="faint">
                opens again <Time at={account.opens_again} />
              </span>
            </div>
            {(["tokens", "cost", "generations"] as const).map((unit) => {
              const cap = account.cap[unit];
              if (cap === null) return null;
              const used = (account.spent[unit] ?? 0) + (account.reserved[unit] ?? 0);
              return (
                <div key={unit} className="budget">
                  <span>{unit}</span>
                  <progress max={cap} value={Math.min(cap, used)} aria-label={`${unit} spent`} />
                  <span className="num">
                    {count(used)} of {count(cap)}
                  </span>
                </div>
              );
            })}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
