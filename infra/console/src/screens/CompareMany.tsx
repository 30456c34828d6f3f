// All pairs of a rerun: figures of both sides, the fields that differ, and the pairs.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { get, type Problem } from "../api/http";
import { count, duration, percent, shortId } from "../ui/format";
import { ErrorNote, OriginLabel } from "../ui/parts";
import type { Summary, Totals } from "./compareModel";
import { type Figure, Figures, figure } from "./Figures";

export function Many({ rerun }: { rerun: string }) {
  const many = useQuery<Summary, Problem>({
    queryKey: ["compare", "rerun", rerun],
    queryFn: ({ signal }) => get<Summary>("/api/v1/compare", { rerun }, signal),
    retry: false,
    refetchInterval: (query) => ((query.state.data?.b.open ?? 0) > 0 ? 2000 : false),
  });
  if (many.error) return <ErrorNote error={many.error} retry={() => void many.refetch()} />;
  if (many.data === undefined) return <div className="card" aria-busy="true" />;
  const found = many.data;
  const pairs = [...found.comparisons].sort((one, other) => other.content.length - one.content.length);
  return (
    <div className="stack">
      <section className="card" aria-label="Both sides">
        <div className="card-head">
          <h2>{count(found.pairs)} pairs</h2>
          <span className="faint">
            {count(found.equal)} of {count(found.comparable)} that models wrote are equal
          </span>
        </div>
        <Figures rows={rowsOf(found.a, found.b)} sides={["Before", "After"]} />
      </section>
      {Object.keys(found.asked).length > 0 && (
        <p className="dim">
          Asked differently:{" "}
          {Object.entries(found.asked).map(([pointer, number]) => (
            <span key={pointer} className="asked">
              <code>{pointer}</code> in {count(number)}
            </span>
          ))}
        </p>
      )}
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
                {["Pairs", "Share", "Added", "Removed", "Replaced", "Moved"].map((name) => (
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
                  <td className="num">{count(field.moved)}</td>
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
              <th>
                <span className="hidden">Compare</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {pairs.slice(0, 500).map((pair) => (
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

const list = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .map(([name, number]) => `${name} ${count(number)}`)
    .join(", ") || "–";

function rowsOf(a: Totals, b: Totals): Figure[] {
  const text = (name: string, show: (of: Totals) => string): Figure => ({
    name,
    first: show(a),
    second: show(b),
  });
  const amount = (
    name: string,
    read: (of: Totals) => number | null,
    unit: (value: number) => string,
  ): Figure => ({
    name,
    first: figure(read(a), unit),
    second: figure(read(b), unit),
    numbers: [read(a), read(b)],
  });
  return [
    text("Requests", (of) => `${count(of.requests)}${of.open > 0 ? `, ${count(of.open)} running` : ""}`),
    amount("Written by the model and valid", (of) => of.valid, count),
    text("Status", (of) => list(of.statuses)),
    text("Errors", (of) => list(of.errors)),
    text("Model", (of) => list(of.models)),
    text("Prompt", (of) => list(of.prompt_versions)),
    text("Rating", (of) => list(of.ratings)),
    amount(
      "Quality",
      (of) => of.quality,
      (value) => value.toFixed(3),
    ),
    amount("Tokens in", (of) => of.prompt_tokens, count),
    amount("Tokens out", (of) => of.completion_tokens, count),
    amount(
      "Cost",
      (of) => of.cost,
      (value) => value.toFixed(2),
    ),
    amount("p50", (of) => of.latency_p50_ms, duration),
    amount("p95", (of) => of.latency_p95_ms, duration),
  ];
}
