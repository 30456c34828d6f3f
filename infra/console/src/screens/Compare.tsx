// Two results side by side, drawn and field by field; or all pairs of a rerun.

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, lazy, Suspense } from "react";
import { useExplanation, useResult } from "../api/hooks";
import { get, type Problem } from "../api/http";
import { count, duration, percent, shortId } from "../ui/format";
import { Picture } from "../ui/Picture";
import { Copy, Empty, ErrorNote, OriginLabel } from "../ui/parts";
import "./request.css";
import "./replays.css";

const SideBySide = lazy(() =>
  import("../edit/JsonEditor").then((module) => ({ default: module.SideBySide })),
);

interface Measures {
  request_id: string;
  status: string | null;
  origin: string | null;
  valid: boolean;
  receipt: string | null;
  error: string | null;
  quality: number | null;
  rating: string | null;
  prompt_version: string | null;
  provider: string | null;
  model: string | null;
  seed: number | null;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cost: number | null;
  latency_ms: number | null;
}
interface Difference {
  op: string;
  path: string;
  from?: string;
  value?: unknown;
  old?: unknown;
}
interface Comparison {
  kind: string;
  a: Measures;
  b: Measures;
  asked: Difference[];
  equal: boolean | null;
  content: Difference[];
}
interface Totals {
  requests: number;
  open: number;
  statuses: Record<string, number>;
  models: Record<string, number>;
  valid: number;
  quality: number | null;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cost: number | null;
  latency_p50_ms: number | null;
  latency_p95_ms: number | null;
}
interface Summary {
  pairs: number;
  comparable: number;
  equal: number;
  a: Totals;
  b: Totals;
  fields: {
    kind: string;
    field: string;
    pairs: number;
    share: number;
    added: number;
    removed: number;
    replaced: number;
  }[];
  asked: Record<string, number>;
  comparisons: Comparison[];
}

export function Compare() {
  const { a, b, rerun } = useSearch({ from: "/compare" });
  const navigate = useNavigate();
  const choose = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = (name: string) => String(given.get(name) ?? "").trim();
    void navigate({
      to: "/compare",
      search: text("rerun") !== "" ? { rerun: text("rerun") } : { a: text("a"), b: text("b") },
    });
  };
  return (
    <>
      <div className="page-head">
        <h1>Compare</h1>
        <div className="grow" />
        {a && b && <Copy text={`understudy compare ${a} ${b}`}>Copy as command</Copy>}
        {rerun && <Copy text={`understudy compare --rerun ${rerun}`}>Copy as command</Copy>}
      </div>
      <form className="toolbar compare-form" onSubmit={choose} key={`${a} ${b} ${rerun}`}>
        <input
          className="input mono"
          name="a"
          defaultValue={a ?? ""}
          placeholder="first request"
          aria-label="First request"
        />
        <input
          className="input mono"
          name="b"
          defaultValue={b ?? ""}
          placeholder="second request"
          aria-label="Second request"
        />
        <span className="faint">or</span>
        <input
          className="input mono"
          name="rerun"
          defaultValue={rerun ?? ""}
          placeholder="name of a rerun"
          aria-label="Rerun"
        />
        <button type="submit" className="button main">
          Compare
        </button>
      </form>
      {a && b ? (
        <Pair a={a} b={b} />
      ) : rerun ? (
        <Many rerun={rerun} />
      ) : (
        <div className="card">
          <Empty
            title="Choose two requests"
            command="understudy rerun --since 1h --set params.temperature=0.2"
          >
            In the list of requests, <span className="kbd">x</span> selects; two of them can be compared. A
            rerun compares many.
          </Empty>
        </div>
      )}
    </>
  );
}

function Pair({ a, b }: { a: string; b: string }) {
  const pair = useQuery<Comparison, Problem>({
    queryKey: ["compare", a, b],
    queryFn: ({ signal }) => get<Comparison>("/api/v1/compare", { a, b }, signal),
    retry: false,
    staleTime: 0,
  });
  const left = useResult(a);
  const right = useResult(b);
  const first = useExplanation(a);
  const second = useExplanation(b);
  if (pair.error) return <ErrorNote error={pair.error} retry={() => void pair.refetch()} />;
  if (pair.data === undefined) return <div className="card" aria-busy="true" />;
  const found = pair.data;
  const text = (value: unknown) => JSON.stringify(value ?? null, null, 2);
  return (
    <div className="stack">
      <div className="compare-columns">
        {(
          [
            [a, found.a, left.data, first.data],
            [b, found.b, right.data, second.data],
          ] as const
        ).map(([id, measures, result, story], index) => (
          <section
            key={index === 0 ? "a" : "b"}
            className="card"
            aria-label={index === 0 ? "First" : "Second"}
          >
            <div className="card-head">
              <Link className="mono link cut" to="/requests/$id" params={{ id }}>
                {id}
              </Link>
              <OriginLabel origin={measures.origin} />
            </div>
            {result?.content !== undefined && result.content !== null ? (
              <Picture id={id} title={id} version={story?.events.length ?? 0} />
            ) : (
              <p className="card-body dim">{story?.reason || "There is no content."}</p>
            )}
          </section>
        ))}
      </div>
      <section className="card" aria-label="Figures">
        <MeasuresTable a={found.a} b={found.b} />
      </section>
      {found.asked.length > 0 && <Differences title="Asked differently" differences={found.asked} />}
      {found.equal === true ? (
        <div className="card">
          <Empty title="The contents are equal" />
        </div>
      ) : (
        found.content.length > 0 && <Differences title="Fields that differ" differences={found.content} />
      )}
      {found.equal === false && (
        <section className="card" aria-label="Side by side">
          <div className="card-head">
            <h2>Side by side</h2>
          </div>
          <Suspense>
            <SideBySide
              label="Both documents"
              left={text(left.data?.content)}
              right={text(right.data?.content)}
            />
          </Suspense>
        </section>
      )}
    </div>
  );
}

const figure = (value: number | null, unit: (value: number) => string): string =>
  value === null ? "–" : unit(value);

function MeasuresTable({ a, b }: { a: Measures; b: Measures }) {
  const rows: [string, (of: Measures) => string, ((of: Measures) => number | null)?][] = [
    ["Status", (of) => of.status ?? "running"],
    ["Valid by itself", (of) => (of.valid ? "yes" : "no")],
    ["Became valid by", (of) => of.receipt ?? "–"],
    ["Error", (of) => of.error ?? "–"],
    ["Model", (of) => [of.provider, of.model].filter(Boolean).join(" ") || "–"],
    ["Prompt", (of) => of.prompt_version ?? "–"],
    ["Rating", (of) => of.rating ?? "–"],
    ["Quality", (of) => figure(of.quality, (value) => value.toFixed(2)), (of) => of.quality],
    ["Tokens in", (of) => figure(of.prompt_tokens, count), (of) => of.prompt_tokens],
    ["Tokens out", (of) => figure(of.completion_tokens, count), (of) => of.completion_tokens],
    ["Cost", (of) => figure(of.cost, (value) => value.toFixed(4)), (of) => of.cost],
    ["Took", (of) => duration(of.latency_ms), (of) => of.latency_ms],
  ];
  return (
    <table className="table measures">
      <thead>
        <tr>
          <th>
            <span className="hidden">Figure</span>
          </th>
          <th>First</th>
          <th>Second</th>
          <th className="num">Change</th>
        </tr>
      </thead>
      <tbody>
        {rows
          .filter(([, show]) => show(a) !== "–" || show(b) !== "–")
          .map(([name, show, value]) => {
            const before = value?.(a) ?? null;
            const after = value?.(b) ?? null;
            return (
              <tr key={name}>
                <td className="dim">{name}</td>
                <td>{show(a)}</td>
                <td className={show(a) === show(b) ? "dim" : ""}>{show(b)}</td>
                <td className="num dim">
                  {before !== null && after !== null && before !== 0 && before !== after
                    ? `${after > before ? "+" : ""}${percent(after / before - 1)}`
                    : ""}
                </td>
              </tr>
            );
          })}
      </tbody>
    </table>
  );
}

const shown = (value: unknown): string => {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
};

function Differences({ title, differences }: { title: string; differences: Difference[] }) {
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        <span className="faint">{count(differences.length)}</span>
      </div>
      <table className="table differences">
        <thead>
          <tr>
            <th>Field</th>
            <th>First</th>
            <th>Second</th>
          </tr>
        </thead>
        <tbody>
          {differences.slice(0, 200).map((difference, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: operations have no id, and their order does not change
            <tr key={index}>
              <td>
                <code>{difference.path || "/"}</code>
                {difference.op === "move" && <span className="faint"> moved from {difference.from}</span>}
              </td>
              <td className={difference.op === "add" ? "faint" : "before"}>
                {difference.op === "add" ? "–" : shown(difference.old)}
              </td>
              <td className={difference.op === "remove" ? "faint" : "after"}>
                {difference.op === "remove" ? "–" : shown(difference.value)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {differences.length > 200 && (
        <p className="card-body faint">and {count(differences.length - 200)} more</p>
      )}
    </section>
  );
}

function Many({ rerun }: { rerun: string }) {
  const many = useQuery<Summary, Problem>({
    queryKey: ["compare", "rerun", rerun],
    queryFn: ({ signal }) => get<Summary>("/api/v1/compare", { rerun }, signal),
    retry: false,
    refetchInterval: (query) => ((query.state.data?.b.open ?? 0) > 0 ? 2000 : false),
  });
  if (many.error) return <ErrorNote error={many.error} retry={() => void many.refetch()} />;
  if (many.data === undefined) return <div className="card" aria-busy="true" />;
  const found = many.data;
  const rows: [string, (of: Totals) => string][] = [
    ["Requests", (of) => `${count(of.requests)}${of.open > 0 ? `, ${count(of.open)} running` : ""}`],
    ["Valid by themselves", (of) => count(of.valid)],
    ["Models", (of) => Object.keys(of.models).join(", ") || "–"],
    ["Quality", (of) => figure(of.quality, (value) => value.toFixed(3))],
    ["Tokens", (of) => count((of.prompt_tokens ?? 0) + (of.completion_tokens ?? 0))],
    ["Cost", (of) => figure(of.cost, (value) => value.toFixed(2))],
    ["p50", (of) => duration(of.latency_p50_ms)],
    ["p95", (of) => duration(of.latency_p95_ms)],
  ];
  return (
    <div className="stack">
      <section className="card" aria-label="Both sides">
        <div className="card-head">
          <h2>{count(found.pairs)} pairs</h2>
          <span className="faint">
            {count(found.equal)} of {count(found.comparable)} that models wrote are equal
          </span>
        </div>
        <table className="table measures">
          <thead>
            <tr>
              <th>
                <span className="hidden">Figure</span>
              </th>
              <th>Before</th>
              <th>After</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, show]) => (
              <tr key={name}>
                <td className="dim">{name}</td>
                <td>{show(found.a)}</td>
                <td>{show(found.b)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {found.fields.length > 0 && (
        <section className="card" aria-label="Fields that differ">
          <div className="card-head">
            <h2>Fields that differ</h2>
          </div>
          <table className="table">
            <thead>
              <tr>
                <th>Kind</th>
                <th>Field</th>
                {["Pairs", "Share", "Added", "Removed", "Replaced"].map((name) => (
                  <th key={name} className="num">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {found.fields.slice(0, 60).map((field) => (
                <tr key={`${field.kind}${field.field}`}>
                  <td>{field.kind}</td>
                  <td>
                    <code>{field.field}</code>
                  </td>
                  <td className="num">{count(field.pairs)}</td>
                  <td className="num">{percent(field.share)}</td>
                  <td className="num">{count(field.added)}</td>
                  <td className="num">{count(field.removed)}</td>
                  <td className="num">{count(field.replaced)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      <section className="card" aria-label="Pairs">
        <table className="table">
          <thead>
            <tr>
              <th>Kind</th>
              <th>Before</th>
              <th>After</th>
              <th className="num">Fields that differ</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {found.comparisons.slice(0, 200).map((pair) => (
              <tr key={pair.b.request_id}>
                <td>{pair.kind}</td>
                <td>
                  <OriginLabel origin={pair.a.origin} />{" "}
                  <span className="mono dim">{shortId(pair.a.request_id)}</span>
                </td>
                <td>
                  <OriginLabel origin={pair.b.origin} />{" "}
                  <span className="mono dim">{shortId(pair.b.request_id)}</span>
                </td>
                <td className="num">{pair.equal === null ? "–" : count(pair.content.length)}</td>
                <td className="num">
                  <Link
                    className="link"
                    to="/compare"
                    search={{ a: pair.a.request_id, b: pair.b.request_id }}
                  >
                    compare
                  </Link>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}
