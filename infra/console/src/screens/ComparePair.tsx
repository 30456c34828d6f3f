// Two requests side by side: drawn, in figures, field by field.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useEffect } from "react";
import { useExplanation, useResult } from "../api/hooks";
import { get, type Problem } from "../api/http";
import type { Explanation } from "../api/model";
import { refresh } from "../api/refresh";
import { count, duration } from "../ui/format";
import { Picture } from "../ui/Picture";
import { Empty, ErrorNote, OriginLabel } from "../ui/parts";
import { type Comparison, type Measures, timesOfStages } from "./compareModel";
import { Differences } from "./Differences";
import { type Figure, Figures, figure } from "./Figures";

const SideBySide = lazy(() =>
  import("../edit/JsonEditor").then((module) => ({ default: module.SideBySide })),
);

export function Pair({ a, b }: { a: string; b: string }) {
  const queries = useQueryClient();
  const pair = useQuery<Comparison, Problem>({
    queryKey: ["compare", a, b],
    queryFn: ({ signal }) => get<Comparison>("/api/v1/compare", { a, b }, signal),
    retry: false,
    staleTime: 0,
    refetchInterval: ({ state }) =>
      state.data !== undefined && (state.data.a.status === null || state.data.b.status === null)
        ? 1500
        : false,
  });
  const ended = `${pair.data?.a.status} ${pair.data?.b.status}`;
  useEffect(() => {
    if (ended !== "") {
      for (const id of [a, b]) void refresh(queries, ["generation", id]);
    }
  }, [ended, a, b, queries]);
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
        <Figures rows={rowsOf(found.a, found.b, first.data, second.data)} sides={["First", "Second"]} />
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

function rowsOf(a: Measures, b: Measures, first?: Explanation, second?: Explanation): Figure[] {
  const text = (name: string, show: (of: Measures) => string | null): Figure => ({
    name,
    first: show(a) ?? "–",
    second: show(b) ?? "–",
  });
  const amount = (
    name: string,
    read: (of: Measures) => number | null,
    unit: (value: number) => string,
  ): Figure => ({
    name,
    first: figure(read(a), unit),
    second: figure(read(b), unit),
    numbers: [read(a), read(b)],
  });
  const [one, other] = [timesOfStages(first?.events ?? []), timesOfStages(second?.events ?? [])];
  const stages = [...new Set([...one.keys(), ...other.keys()])];
  return [
    text("Status", (of) => of.status ?? "running"),
    text("Written by the model and valid", (of) => (of.valid ? "yes" : "no")),
    text("Became valid by", (of) => of.receipt),
    text("Error", (of) => of.error),
    text("Model", (of) => [of.provider, of.model].filter(Boolean).join(" ") || null),
    text("Prompt", (of) => of.prompt_version),
    text("Seed", (of) => (of.seed === null ? null : String(of.seed))),
    text("Rating", (of) => of.rating),
    amount(
      "Quality",
      (of) => of.quality,
      (value) => value.toFixed(2),
    ),
    amount("Tokens in", (of) => of.prompt_tokens, count),
    amount("Tokens out", (of) => of.completion_tokens, count),
    amount(
      "Cost",
      (of) => of.cost,
      (value) => value.toFixed(4),
    ),
    amount("Took", (of) => of.latency_ms, duration),
    ...stages.map((stage) => ({
      name: stage,
      first: figure(one.get(stage), duration),
      second: figure(other.get(stage), duration),
      numbers: [one.get(stage), other.get(stage)] as Figure["numbers"] & {},
    })),
  ];
}
