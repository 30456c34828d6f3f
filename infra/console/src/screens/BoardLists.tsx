// What is below the lanes: the latest results, and why understudies went on.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { get, type Problem } from "../api/http";
import { accentOf, type Page, type RequestRow } from "../api/model";
import { count, duration } from "../ui/format";
import { Empty, OriginLabel, Time } from "../ui/parts";
import type { BoardState, Ended } from "./boardState";

export interface Figures {
  requests: number;
  origins: Record<string, number>;
  stand_in_rate: number | null;
  stand_ins: { code: string | null; requests: number }[];
}

/** Rows of the list. */
const MOST = 14;

const toEnded = (row: RequestRow): Ended => ({
  id: row.request_id,
  kind: row.kind,
  origin: row.origin ?? "none",
  status: row.status,
  at: row.ended_at_ms ?? row.requested_at_ms,
  took: row.ended_at_ms === null ? Number.NaN : row.ended_at_ms - row.requested_at_ms,
  title: row.request_id,
  code: row.error_code,
});

/** The latest results: those of the board's events, and below them what had ended before the page was opened. */
export function Latest({ state, live }: { state: BoardState; live: boolean }) {
  const earlier = useQuery<Ended[], Problem>({
    queryKey: ["board", "earlier"],
    queryFn: async ({ signal }) => {
      const page = await get<Page<RequestRow>>("/api/v1/generations", { limit: MOST }, signal);
      return page.items.filter((row) => row.origin !== null).map(toEnded);
    },
    enabled: live,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const known = new Set(state.latest.map((ended) => ended.id));
  const before = live ? (earlier.data ?? []).filter((ended) => !known.has(ended.id)) : [];
  const shown = [...state.latest, ...before].slice(0, MOST);
  return (
    <section className="card" aria-label="Latest results">
      <div className="card-head">
        <h2>Latest</h2>
        <Link className="faint" to="/requests">
          all requests
        </Link>
      </div>
      {shown.length === 0 ? (
        <Empty
          title={live ? "No results yet" : "Nothing had ended by then"}
          command={'understudy request "a forest with three coins"'}
        />
      ) : (
        <ol className="latest">
          {shown.map((ended) => (
            <li key={`${ended.id}.${ended.at}`}>
              <Time at={ended.at} />
              <OriginLabel origin={ended.origin} />
              <Link className="cut" to="/requests/$id" params={{ id: ended.id }}>
                <b>{ended.kind}</b> {ended.title}{" "}
                {ended.code && accentOf(ended.origin) !== "live" && (
                  <code className="faint">{ended.code}</code>
                )}
              </Link>
              <span className="num dim">{duration(ended.took)}</span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

export function Reasons({ figures }: { figures: Figures | null }) {
  const most = Math.max(1, ...(figures?.stand_ins.map((reason) => reason.requests) ?? []));
  return (
    <section className="card" aria-label="Why understudies went on">
      <div className="card-head">
        <h2>Why understudies went on</h2>
        <span className="faint">last 5 min</span>
      </div>
      {figures === null || figures.stand_ins.length === 0 ? (
        <Empty title="No stand-in in the last five minutes" />
      ) : (
        <ul className="reasons">
          {figures.stand_ins.map((reason) => (
            <li key={reason.code}>
              <Link to="/requests" search={{ ...(reason.code && { code: reason.code }), since: "5m" }}>
                <code>{reason.code ?? "no error"}</code>
              </Link>
              <span className="num">{count(reason.requests)}</span>
              <i>
                <u style={{ width: `${(100 * reason.requests) / most}%` }} />
              </i>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
