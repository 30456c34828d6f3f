// All requests: filtered by the URL, newest first, loaded as they are scrolled to.

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { useEvents } from "../api/hooks";
import { get, type Problem } from "../api/http";
import type { Page, RequestRow } from "../api/model";
import { count, duration, shortId } from "../ui/format";
import { Command, Copy, Empty, ErrorNote, OriginLabel, Time } from "../ui/parts";
import { QueryBar } from "../ui/QueryBar";
import { VirtualRows } from "../ui/VirtualRows";
import { type Filter, formatFilter, toOptions, toQuery } from "./filter";
import "./requests.css";

const PAGE = 200;

export function Requests() {
  const filter: Filter = useSearch({ from: "/requests" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [fresh, setFresh] = useState(0);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const key = ["generations", filter] as const;
  const list = useInfiniteQuery<Page<RequestRow>, Problem>({
    queryKey: key,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get<Page<RequestRow>>(
        "/api/v1/generations",
        { ...toQuery(filter), limit: PAGE, cursor: pageParam as string },
        signal,
      ),
    getNextPageParam: (page) => page.next ?? undefined,
    retry: false,
  });
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);

  // New requests do not move what is being read: they are counted, and shown on demand.
  useEvents((event) => {
    if (event.event === "result" || event.event === "revised") setFresh((before) => before + 1);
  });
  const refresh = () => {
    setFresh(0);
    void queries.resetQueries({ queryKey: key });
  };
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const toggle = (id: string) =>
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(id)) after.add(id);
      return after;
    });
  const [first, second] = [...selected];
  const filtered = formatFilter(filter) !== "";

  return (
    <>
      <div className="page-head">
        <h1>Requests</h1>
        <div className="grow" />
        {selected.size === 2 && first !== undefined && second !== undefined && (
          <Link className="button" to="/compare" search={{ a: first, b: second }}>
            Compare
          </Link>
        )}
        {selected.size > 0 && (
          <Link className="button" to="/replays" search={{ ids: [...selected].join(",") }}>
            Replay {selected.size}
          </Link>
        )}
        {selected.size === 0 && filtered && (
          <Link className="button" to="/replays" search={filter}>
            Replay all of these
          </Link>
        )}
        <Copy text={`understudy audit ls ${toOptions(filter)}`.trim()}>Copy as command</Copy>
        <a
          className="button quiet"
          download="requests.json"
          href={`/api/v1/generations?${new URLSearchParams({ ...toQuery(filter), limit: "1000" })}`}
        >
          Export
        </a>
      </div>
      <div className="toolbar">
        <QueryBar
          filter={filter}
          onChange={(search) => void navigate({ to: "/requests", search })}
          placeholder="kind:layout origin:golden_sample code:GEN_TIMEOUT, or words of the prompt"
        />
        <fieldset className="quick">
          <legend className="hidden">Origin</legend>
          {[undefined, "live", "cache", "golden_sample", "none"].map((origin) => (
            <button
              key={origin ?? "all"}
              type="button"
              aria-pressed={filter.origin === origin}
              onClick={() => {
                const { origin: _, ...others } = filter;
                void navigate({ to: "/requests", search: origin ? { ...others, origin } : others });
              }}
            >
              {origin ? <OriginLabel origin={origin} /> : "All"}
            </button>
          ))}
        </fieldset>
        <button type="button" className="button" onClick={refresh} disabled={fresh === 0} aria-live="polite">
          {fresh === 0 ? "Up to date" : `Show ${count(fresh)} new`}
        </button>
      </div>
      {list.error && <ErrorNote error={list.error} retry={() => void list.refetch()} />}
      {list.data && rows.length === 0 && (
        <div className="card">
          {filtered ? (
            <Empty title="No request matches">The filter is in the page's address.</Empty>
          ) : (
            <Empty
              title="No requests yet"
              command={'understudy request "a forest with three coins" --kind layout --wait'}
            >
              Ask for something, and it appears here.
            </Empty>
          )}
        </div>
      )}
      {rows.length > 0 && (
        <div className="card">
          <VirtualRows
            label="Requests"
            rows={rows}
            keyOf={(row) => `${row.request_id}.${row.requested_at_ms}`}
            onOpen={(row) => void navigate({ to: "/requests/$id", params: { id: row.request_id } })}
            onSelect={(row) => toggle(row.request_id)}
            onNearEnd={more}
            header={
              <div role="row" className="request-row">
                <span role="columnheader">
                  <span className="hidden">Selected</span>
                </span>
                <span role="columnheader">Time</span>
                <span role="columnheader">Origin</span>
                <span role="columnheader">Kind</span>
                <span role="columnheader">Request</span>
                <span role="columnheader">Why</span>
                <span role="columnheader">Model</span>
                <span role="columnheader" className="num">
                  Took
                </span>
              </div>
            }
          >
            {(row) => (
              <div className="request-row">
                <span role="cell">
                  <input
                    type="checkbox"
                    aria-label={`Select ${row.request_id}`}
                    checked={selected.has(row.request_id)}
                    onChange={() => toggle(row.request_id)}
                  />
                </span>
                <span role="cell">
                  <Time at={row.requested_at_ms} />
                </span>
                <span role="cell">
                  <OriginLabel origin={row.origin} />
                </span>
                <span role="cell">{row.kind}</span>
                <span role="cell" className="mono cut">
                  <Link to="/requests/$id" params={{ id: row.request_id }} title={row.request_id}>
                    {shortId(row.request_id)}
                  </Link>
                </span>
                <span role="cell" className="cut dim" title={row.error_message ?? undefined}>
                  {row.error_code ? (
                    <>
                      <code>{row.error_code}</code> {row.error_message}
                    </>
                  ) : row.revised_by ? (
                    "replaced by a replay"
                  ) : row.replay_of ? (
                    `replay of ${shortId(row.replay_of)}`
                  ) : (
                    row.node_id
                  )}
                </span>
                <span role="cell" className="cut dim">
                  {row.model ?? "–"}
                </span>
                <span role="cell" className="num">
                  {duration(row.ended_at_ms === null ? null : row.ended_at_ms - row.requested_at_ms)}
                </span>
              </div>
            )}
          </VirtualRows>
        </div>
      )}
      <p className="faint list-foot">
        {count(rows.length)} loaded{hasNextPage ? ", more when you scroll" : ""}
        {filtered && (
          <>
            {" "}
            · <Command text={`understudy audit ls ${toOptions(filter)}`} />
          </>
        )}
      </p>
    </>
  );
}
