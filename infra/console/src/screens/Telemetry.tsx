// Telemetry: how many, how fast, how good and at what cost, by provider, kind, node and stage.

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useRouter, useSearch } from "@tanstack/react-router";
import { get, type Problem } from "../api/http";
import { type Accent, accentOf } from "../api/model";
import { clock, count, duration, percent } from "../ui/format";
import { Copy, Empty, ErrorNote } from "../ui/parts";
import { Bars, type Bucket, Lines } from "../ui/Series";
import "./telemetry.css";

interface Percentiles {
  p50: number;
  p95: number;
  p99: number;
}

interface Group {
  name: string | null;
  model: string | null;
  requests: number;
  origins: Record<string, number>;
  success_rate: number | null;
  stand_in_rate: number | null;
  failure_rate: number | null;
  statuses: Record<string, number>;
  errors: Record<string, number>;
  latency_ms: Percentiles | null;
  calls: number;
  prompt_tokens: number | null;
  completion_tokens: number | null;
  cost: number | null;
}

interface Stage {
  name: string;
  requests: number;
  work_ms: Percentiles | null;
  errors: Record<string, number>;
  failure_rate: number | null;
}

interface Window {
  window: string;
  since_ms: number;
  until_ms: number;
  total: Group;
  providers: Group[];
  kinds: Group[];
  nodes: Group[];
  stages: Stage[];
}

interface Answer {
  windows: Window[];
  bucket_ms: number;
  series: { since_ms: number; until_ms: number; total: Group }[];
}

const WINDOWS = ["5m", "1h", "24h", "7d"];
const GROUPINGS = { kind: "Kinds", provider: "Providers", node: "Nodes", stage: "Stages" } as const;
type Grouping = keyof typeof GROUPINGS;
const ORDER: Accent[] = ["live", "cache", "scripted", "standin", "nothing"];

export function Telemetry() {
  const search = useSearch({ from: "/telemetry" });
  const navigate = useNavigate();
  const window = search.window ?? "1h";
  const by: Grouping = search.by !== undefined && search.by in GROUPINGS ? (search.by as Grouping) : "kind";
  const figures = useQuery<Answer, Problem>({
    queryKey: ["telemetry", window],
    queryFn: ({ signal }) => get<Answer>("/api/v1/telemetry", { window }, signal),
    // Windows move on: they are asked for again while the page is seen.
    refetchInterval: 5000,
    retry: false,
  });
  const choose = (change: { window?: string; by?: string }) =>
    void navigate({ to: "/telemetry", search: { ...search, ...change } });
  const found = figures.data?.windows[0];
  return (
    <>
      <div className="page-head">
        <h1>Telemetry</h1>
        <div className="grow" />
        <Copy text={`understudy stats --window ${window}`}>Copy as command</Copy>
        <fieldset className="quick">
          <legend className="hidden">Window</legend>
          {WINDOWS.map((each) => (
            <button
              key={each}
              type="button"
              aria-pressed={window === each}
              onClick={() => choose({ window: each })}
            >
              {each}
            </button>
          ))}
        </fieldset>
      </div>
      {figures.error && <ErrorNote error={figures.error} retry={() => void figures.refetch()} />}
      {figures.data && found && (
        <>
          <Total group={found.total} />
          <Series answer={figures.data} />
          <section className="card" aria-label="Groups">
            <div className="tabs content-tabs" role="tablist" aria-label="Group by">
              {Object.entries(GROUPINGS).map(([name, title]) => (
                <button
                  key={name}
                  type="button"
                  role="tab"
                  aria-selected={by === name}
                  data-state={by === name ? "active" : "inactive"}
                  onClick={() => choose({ by: name })}
                >
                  {title}
                </button>
              ))}
            </div>
            {by === "stage" ? (
              <Stages stages={found.stages} />
            ) : (
              <Groups groups={groupsOf(found, by)} by={by} window={window} />
            )}
          </section>
        </>
      )}
    </>
  );
}

const groupsOf = (window: Window, by: Exclude<Grouping, "stage">): Group[] =>
  ({ kind: window.kinds, provider: window.providers, node: window.nodes })[by];

const rejectedOf = (group: Group): number => group.statuses.rejected ?? 0;

function Total({ group }: { group: Group }) {
  const cells: [string, string, string][] = [
    ["Results", count(group.requests), ""],
    ["Success", percent(group.success_rate), ""],
    ["Stand-ins", percent(group.stand_in_rate), (group.stand_in_rate ?? 0) > 0 ? "standin" : ""],
    ["Failures", percent(group.failure_rate), (group.failure_rate ?? 0) > 0 ? "nothing" : ""],
    // What was no request has no result to judge: no share counts it.
    ["Rejected", count(rejectedOf(group)), rejectedOf(group) > 0 ? "nothing" : ""],
    ["p50", duration(group.latency_ms?.p50), ""],
    ["p95", duration(group.latency_ms?.p95), ""],
    ["p99", duration(group.latency_ms?.p99), ""],
    ["Tokens", count((group.prompt_tokens ?? 0) + (group.completion_tokens ?? 0)), ""],
    ["Cost", group.cost === null ? "–" : group.cost.toFixed(2), ""],
  ];
  return (
    <section className="card headline telemetry-total" aria-label="All requests">
      {cells.map(([name, value, accent]) => (
        <div key={name}>
          <small>{name}</small>
          <b className={`${accent} telemetry-value`}>{value}</b>
        </div>
      ))}
    </section>
  );
}

const within = ({ since, until }: Bucket) => ({
  since: new Date(since).toISOString(),
  until: new Date(until).toISOString(),
});

function Series({ answer }: { answer: Answer }) {
  const router = useRouter();
  const buckets: Bucket[] = answer.series.map(({ since_ms, until_ms, total }) => ({
    since: since_ms,
    until: until_ms,
    parts: ORDER.map((accent) => [
      accent,
      Object.entries(total.origins).reduce(
        (sum, [origin, number]) => sum + (accentOf(origin) === accent ? number : 0),
        0,
      ),
    ]),
  }));
  const latency = (name: keyof Percentiles) =>
    answer.series.map(({ total }) => total.latency_ms?.[name] ?? null);
  const most = Math.max(0, ...answer.series.map(({ total }) => total.latency_ms?.p99 ?? 0));
  const first = answer.series[0];
  const last = answer.series.at(-1);
  return (
    <div className="telemetry-series">
      <section className="card" aria-label="Results over time">
        <div className="card-head">
          <h2>Results</h2>
          <span className="faint">one bar is {duration(answer.bucket_ms)}; click one for its requests</span>
        </div>
        <div className="card-body">
          <Bars
            buckets={buckets}
            label="Results by origin"
            hrefOf={(bucket) => router.buildLocation({ to: "/requests", search: within(bucket) }).href}
            onOpen={(bucket) => void router.navigate({ to: "/requests", search: within(bucket) })}
          />
          <Axis first={first?.since_ms} last={last?.until_ms} />
        </div>
      </section>
      <section className="card" aria-label="Latency over time">
        <div className="card-head">
          <h2>Latency</h2>
          <span className="faint">
            p50, <span className="cache">p95</span>, <span className="standin">p99</span> up to{" "}
            {duration(most)}
          </span>
        </div>
        <div className="card-body">
          <Lines
            label="Latency: p50, p95 and p99"
            lines={[
              { name: "p99", className: "standin", values: latency("p99") },
              { name: "p95", className: "cache", values: latency("p95") },
              { name: "p50", className: "", values: latency("p50") },
            ]}
          />
          <Axis first={first?.since_ms} last={last?.until_ms} />
        </div>
      </section>
    </div>
  );
}

const Axis = ({ first, last }: { first: number | undefined; last: number | undefined }) => (
  <div className="axis faint">
    <span>{clock(first)}</span>
    <span>{clock(last)}</span>
  </div>
);

function Groups({
  groups,
  by,
  window,
}: {
  groups: Group[];
  by: "kind" | "provider" | "node";
  window: string;
}) {
  if (groups.length === 0) return <Empty title="No result in this window" />;
  return (
    <div className="scroll">
      <table className="table">
        <thead>
          <tr>
            <th>{by}</th>
            {[
              "Results",
              "Success",
              "Stand-ins",
              "Failures",
              "Rejected",
              "p50",
              "p95",
              "p99",
              "Calls",
              "Tokens",
              "Cost",
            ].map((name) => (
              <th key={name} className="num">
                {name}
              </th>
            ))}
            <th>Errors</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={`${group.name}/${group.model}`}>
              <td>
                <Link
                  className="link"
                  to="/requests"
                  search={{
                    ...(group.name !== null && { [by]: group.name }),
                    ...(group.model && { model: group.model }),
                    since: window,
                  }}
                >
                  {group.name ?? "none"}
                </Link>{" "}
                <span className="dim">{group.model}</span>
              </td>
              <td className="num">{count(group.requests)}</td>
              <td className="num">{percent(group.success_rate)}</td>
              <td className={`num ${(group.stand_in_rate ?? 0) > 0 ? "standin" : ""}`}>
                {percent(group.stand_in_rate)}
              </td>
              <td className={`num ${(group.failure_rate ?? 0) > 0 ? "nothing" : ""}`}>
                {percent(group.failure_rate)}
              </td>
              <td className={`num ${rejectedOf(group) > 0 ? "nothing" : ""}`}>{count(rejectedOf(group))}</td>
              <td className="num">{duration(group.latency_ms?.p50)}</td>
              <td className="num">{duration(group.latency_ms?.p95)}</td>
              <td className="num">{duration(group.latency_ms?.p99)}</td>
              <td className="num">{count(group.calls)}</td>
              <td className="num">{count((group.prompt_tokens ?? 0) + (group.completion_tokens ?? 0))}</td>
              <td className="num">{group.cost === null ? "–" : group.cost.toFixed(2)}</td>
              <td>
                <Errors errors={group.errors} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Stages({ stages }: { stages: Stage[] }) {
  return (
    <div className="scroll">
      <table className="table">
        <thead>
          <tr>
            <th>Stage</th>
            {["Requests", "Failures", "p50", "p95", "p99"].map((name) => (
              <th key={name} className="num">
                {name}
              </th>
            ))}
            <th>Errors</th>
          </tr>
        </thead>
        <tbody>
          {stages.map((stage) => (
            <tr key={stage.name}>
              <td>{stage.name}</td>
              <td className="num">{count(stage.requests)}</td>
              <td className="num">{percent(stage.failure_rate)}</td>
              <td className="num">{duration(stage.work_ms?.p50)}</td>
              <td className="num">{duration(stage.work_ms?.p95)}</td>
              <td className="num">{duration(stage.work_ms?.p99)}</td>
              <td>
                <Errors errors={stage.errors} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const Errors = ({ errors }: { errors: Record<string, number> }) => (
  <span className="errors">
    {Object.entries(errors).map(([code, number]) => (
      <Link key={code} to="/requests" search={{ code }}>
        <code>{code}</code> <span className="dim">{count(number)}</span>
      </Link>
    ))}
  </span>
);
