// Experiments: the verdict first, then the arms side by side, and the end of it.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { get, type Problem, post } from "../api/http";
import { count } from "../ui/format";
import { Command, Copy, Empty, ErrorNote } from "../ui/parts";
import {
  type ArmReading,
  barOf,
  type Interval,
  MEASURES,
  type Plan,
  type Reading,
  reasonsOf,
  scaleOf,
  stateOf,
} from "./experimentModel";
import "./experiments.css";

const PATH = "/api/v1/experiments";

export function Experiments() {
  const search = useSearch({ from: "/experiments" });
  const plans = useQuery<Plan[], Problem>({
    queryKey: ["experiments"],
    queryFn: ({ signal }) => get<Plan[]>(PATH, undefined, signal),
    retry: false,
  });
  const name = search.name ?? plans.data?.[0]?.name;
  const plan = plans.data?.find((each) => each.name === name);
  return (
    <>
      <div className="page-head">
        <h1>Experiments</h1>
        <div className="grow" />
        <Copy text={name ? `understudy experiments show ${name}` : "understudy experiments ls"}>
          Copy as command
        </Copy>
      </div>
      {plans.error && <ErrorNote error={plans.error} retry={() => void plans.refetch()} />}
      {plans.data?.length === 0 && (
        <Empty title="There is no experiment" command="understudy experiments --help">
          An experiment is a file in the folder of the setting experiments_dir.
        </Empty>
      )}
      {plans.data && plans.data.length > 0 && (
        <section className="card experiment-all" aria-label="All experiments">
          <ul className="experiment-list">
            {plans.data.map((each) => (
              <li key={each.name}>
                <Link
                  to="/experiments"
                  search={{ name: each.name }}
                  aria-current={each.name === name ? "true" : undefined}
                >
                  <b>{each.name}</b> <span className="dim">{stateOf(each)}</span>
                  {each.says && <span className="faint"> {each.says}</span>}
                </Link>
              </li>
            ))}
          </ul>
        </section>
      )}
      {name && plans.data && !plan && <Empty title={`There is no experiment ${name}`} />}
      {plan && !plan.ok && (
        <div className="note bad" role="alert">
          <strong>It cannot be used</strong>
          <span>{plan.error}</span>
          <Command text="understudy experiments check" />
        </div>
      )}
      {plan?.ok && <ReadingView plan={plan} />}
    </>
  );
}

function ReadingView({ plan }: { plan: Plan }) {
  const reading = useQuery<Reading, Problem>({
    queryKey: ["experiments", plan.name],
    queryFn: ({ signal }) => get<Reading>(`${PATH}/${encodeURIComponent(plan.name)}`, undefined, signal),
    refetchInterval: 10_000,
    retry: false,
  });
  if (reading.error) return <ErrorNote error={reading.error} retry={() => void reading.refetch()} />;
  if (!reading.data) return <p className="faint">Reading the results…</p>;
  const found = reading.data;
  const bad = found.verdict === "broken_split";
  return (
    <section className="card" aria-label={`Reading of ${found.name}`}>
      <div className="card-body">
        <p className={bad ? "experiment-verdict nothing" : "experiment-verdict"} role="status">
          {found.sentence}
        </p>
        <p className="faint">{splitOf(found)}</p>
        {found.earlier > 0 && (
          <p className="standin">
            {count(found.earlier)} results of an earlier version of the split are left out: arms, weights,
            settings, unit or requests were others.
          </p>
        )}
        {found.cut && <p className="standin">There are more results; these are the latest.</p>}
      </div>
      <div className="scroll" tabIndex={0} role="group" aria-label="Arms">
        <ArmTable found={found} />
      </div>
      <End found={found} control={plan.control} />
    </section>
  );
}

const splitOf = ({ split, error, looks }: Reading): string => {
  const p = split.p === null ? "Too few units to test the split" : `Split check: p ${split.p.toPrecision(2)}`;
  return `${p}. Intervals are of 95 %. An experiment of equal arms names a difference in at most ${100 * error} % of cases, read up to ${looks} times.`;
};

function ArmTable({ found }: { found: Reading }) {
  const plain: [string, (arm: ArmReading) => string][] = [
    ["Settings", (arm) => arm.set.join("\n") || "as configured"],
    [`Units (${found.unit})`, (arm) => `${count(arm.units)} of ${count(found.minimum)}`],
    ["Results", (arm) => count(arm.results)],
    ["Tokens", (arm) => (arm.tokens === null ? "–" : count(arm.tokens))],
    ["Against the control", (arm) => arm.standing.replace("_", " ")],
  ];
  return (
    <table className="experiment-arms">
      <thead>
        <tr>
          <th scope="col">Goal: {found.goal}</th>
          {found.arms.map((arm) => (
            <th key={arm.name} scope="col">
              {arm.name} <span className="faint">weight {arm.weight}</span>
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {plain.map(([title, text]) => (
          <tr key={title}>
            <th scope="row">{title}</th>
            {found.arms.map((arm) => (
              <td key={arm.name} className="experiment-text">
                {text(arm)}
              </td>
            ))}
          </tr>
        ))}
        {MEASURES.map((measure) => (
          <tr key={measure.name}>
            <th scope="row">{measure.name}</th>
            {found.arms.map((arm) => (
              <td key={arm.name}>
                <Figure figure={measure.of(arm)} scale={scaleOf(measure, found.arms)} text={measure.text} />
              </td>
            ))}
          </tr>
        ))}
        {reasonsOf(found.arms).map(({ status, code, counts }) => (
          <tr key={`${status} ${code}`}>
            <th scope="row">
              {status} <span className="faint">{code}</span>
            </th>
            {found.arms.map((arm, index) => (
              <td key={arm.name}>{count(counts[index] ?? 0)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Figure({
  figure,
  scale,
  text,
}: {
  figure: Interval | null;
  scale: number;
  text: (value: number) => string;
}) {
  if (!figure) return <span className="faint">–</span>;
  const { left, width, middle } = barOf(figure, scale);
  return (
    <div className="experiment-figure">
      <b>{text(figure.value)}</b>{" "}
      <span className="dim">
        {text(figure.low)} to {text(figure.high)}
      </span>
      <div className="experiment-bar" aria-hidden="true">
        <i style={{ left: `${left}%`, width: `${width}%` }} />
        <b style={{ left: `${middle}%` }} />
      </div>
    </div>
  );
}

/** Stop and promotion, each asked once more, with its command. */
function End({ found, control }: { found: Reading; control: string | null }) {
  const queries = useQueryClient();
  const [asked, setAsked] = useState<string | null>(null);
  const path = `${PATH}/${encodeURIComponent(found.name)}`;
  const end = useMutation<Plan, Problem, string | null>({
    mutationFn: (arm) => (arm === null ? post<Plan>(`${path}/stop`) : post<Plan>(`${path}/promote`, { arm })),
    onSettled: () => {
      setAsked(null);
      return queries.invalidateQueries({ queryKey: ["experiments"] });
    },
  });
  const choices: [string, string | null, string][] = [
    ...(found.stopped && found.promoted === null
      ? []
      : [["Stop", null, `understudy experiments stop ${found.name}`] as [string, null, string]]),
    ...found.arms
      .filter((arm) => arm.name !== found.promoted)
      .map((arm): [string, string, string] => [
        `Promote ${arm.name}`,
        arm.name,
        `understudy experiments promote ${found.name} ${arm.name}`,
      ]),
  ];
  return (
    <div className="card-body experiment-end">
      {end.error && <ErrorNote error={end.error} />}
      {choices.map(([title, arm, command]) => (
        <div key={title}>
          {asked === title ? (
            <>
              <span>Every request gets {arm ?? control} from now on, and no result counts any more.</span>
              <button
                type="button"
                className="button primary"
                disabled={end.isPending}
                onClick={() => end.mutate(arm)}
              >
                {title} now
              </button>
              <button type="button" className="button" onClick={() => setAsked(null)}>
                Leave it
              </button>
            </>
          ) : (
            <button type="button" className="button" onClick={() => setAsked(title)}>
              {title}
            </button>
          )}
          <Command text={command} />
        </div>
      ))}
    </div>
  );
}
