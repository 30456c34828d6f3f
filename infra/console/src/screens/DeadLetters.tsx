// Dead letters: grouped by what is wrong, opened, edited with today's verdict beside, replayed or dropped.

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { useEvents } from "../api/hooks";
import { get, type Problem } from "../api/http";
import type { Page } from "../api/model";
import { count } from "../ui/format";
import { Copy, Empty, ErrorNote, Time } from "../ui/parts";
import { QueryBar } from "../ui/QueryBar";
import { VirtualRows } from "../ui/VirtualRows";
import { type Filter, formatFilter, readFilter, toOptions, toQuery } from "./filter";
import { LetterPanel, type LetterRow, PATH } from "./Letter";
import "./requests.css";
import "./dead.css";

interface Group {
  stage: string | null;
  code: string | null;
  field: string | null;
  letters: number;
  last: number;
  time: string;
  reason: string;
}

export function DeadLetters() {
  const search = useSearch({ from: "/dead" });
  const filter: Filter = readFilter(search);
  const field = search.field;
  const open = search.seq;
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [fresh, setFresh] = useState(0);
  const query = { ...toQuery(filter), ...(field && { field }) };
  const groups = useQuery<{ items: Group[] }, Problem>({
    queryKey: ["letters", "groups", filter],
    queryFn: ({ signal }) => get<{ items: Group[] }>(`${PATH}/groups`, toQuery(filter), signal),
    retry: false,
  });
  const list = useInfiniteQuery<Page<LetterRow>, Problem>({
    queryKey: ["letters", "list", query],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get<Page<LetterRow>>(PATH, { ...query, limit: 100, cursor: pageParam as string }, signal),
    getNextPageParam: (page) => page.next ?? undefined,
    retry: false,
  });
  useEvents((event) => {
    if (event.stream === "DEAD" || event.subject.startsWith("dead.")) setFresh((before) => before + 1);
  });
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const refresh = () => {
    setFresh(0);
    void queries.invalidateQueries({ queryKey: ["letters"] });
  };
  const toggle = (sequence: number) =>
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(sequence)) after.add(sequence);
      return after;
    });
  const go = (change: Filter & { seq?: string; field?: string }) =>
    void navigate({ to: "/dead", search: change });
  const filtered = formatFilter(filter) !== "" || field !== undefined;

  return (
    <>
      <div className="page-head">
        <h1>Dead letters</h1>
        <div className="grow" />
        {selected.size > 0 && (
          <Link className="button" to="/replays" search={{ letters: [...selected].join(",") }}>
            Replay {selected.size}
          </Link>
        )}
        {selected.size === 0 && rows.length > 0 && (
          <Link className="button" to="/replays" search={{ ...filter, letters: "all" }}>
            Replay all of these
          </Link>
        )}
        <Copy text={`understudy dead ls ${toOptions(filter)}`.trim()}>Copy as command</Copy>
        {fresh > 0 && (
          <button type="button" className="button" onClick={refresh}>
            Show {count(fresh)} new
          </button>
        )}
      </div>
      <div className="toolbar">
        <QueryBar
          filter={filter}
          onChange={go}
          placeholder="stage:validate-repair code:GEN_SCHEMA_INVALID kind:layout"
        />
        {field && (
          <button type="button" className="button" onClick={() => go(filter)}>
            field <code>{field}</code> ×
          </button>
        )}
      </div>
      {list.error && <ErrorNote error={list.error} retry={() => void list.refetch()} />}
      {list.data && rows.length === 0 && (
        <div className="card">
          {filtered ? (
            <Empty title="No letter matches" />
          ) : (
            <Empty title="No dead letters">
              What cannot be handled, and what was refused, would be here.
            </Empty>
          )}
        </div>
      )}
      {rows.length > 0 && (
        <div className={open === undefined ? "dead-columns" : "dead-columns with-letter"}>
          <div className="stack">
            {open === undefined && (
              <Groups
                groups={groups.data?.items ?? []}
                onOpen={(group) => go({ ...filter, ...choice(group) })}
              />
            )}
            <div className="card">
              <VirtualRows
                label="Dead letters"
                rows={rows}
                keyOf={(row) => String(row.sequence)}
                onOpen={(row) => go({ ...filter, ...(field && { field }), seq: String(row.sequence) })}
                onSelect={(row) => toggle(row.sequence)}
                onNearEnd={more}
                height={open === undefined ? "calc(100vh - 420px)" : "calc(100vh - 190px)"}
                header={
                  <div role="row" className="letter-row">
                    <span role="columnheader">
                      <span className="hidden">Selected</span>
                    </span>
                    <span role="columnheader" className="num">
                      No.
                    </span>
                    <span role="columnheader">Time</span>
                    <span role="columnheader">Kind</span>
                    <span role="columnheader">What is wrong</span>
                  </div>
                }
              >
                {(row) => (
                  <div className={open === String(row.sequence) ? "letter-row open" : "letter-row"}>
                    <span role="cell">
                      <input
                        type="checkbox"
                        aria-label={`Select letter ${row.sequence}`}
                        checked={selected.has(row.sequence)}
                        onChange={() => toggle(row.sequence)}
                      />
                    </span>
                    <span role="cell" className="num">
                      <Link
                        to="/dead"
                        search={{ ...filter, ...(field && { field }), seq: String(row.sequence) }}
                        aria-label={`Letter ${row.sequence}`}
                      >
                        {row.sequence}
                      </Link>
                    </span>
                    <span role="cell">
                      <Time at={row.time} />
                    </span>
                    <span role="cell">{row.kind ?? "–"}</span>
                    <span role="cell" className="cut dim" title={row.reason}>
                      <code>{row.code}</code> {row.reason}
                    </span>
                  </div>
                )}
              </VirtualRows>
            </div>
          </div>
          {open !== undefined && (
            <LetterPanel
              key={open}
              sequence={Number(open)}
              onClose={() => go({ ...filter, ...(field && { field }) })}
              onDropped={() => {
                refresh();
                go(filter);
              }}
            />
          )}
        </div>
      )}
    </>
  );
}

const choice = (group: Group): Filter & { field?: string } => ({
  ...(group.stage && { stage: group.stage }),
  ...(group.code && { code: group.code }),
  ...(group.field && { field: group.field }),
});

function Groups({ groups, onOpen }: { groups: Group[]; onOpen: (group: Group) => void }) {
  return (
    <section className="card" aria-label="Groups">
      <table className="table">
        <thead>
          <tr>
            <th className="num">Letters</th>
            <th>Stage</th>
            <th>Code</th>
            <th>Field</th>
            <th>Newest</th>
            <th>Reason</th>
          </tr>
        </thead>
        <tbody>
          {groups.slice(0, 6).map((group) => (
            <tr key={`${group.stage}/${group.code}/${group.field}`}>
              <td className="num">
                <button type="button" className="button quiet" onClick={() => onOpen(group)}>
                  {count(group.letters)}
                </button>
              </td>
              <td>{group.stage ?? "–"}</td>
              <td>
                <code>{group.code ?? "–"}</code>
              </td>
              <td>
                <code>{group.field ?? ""}</code>
              </td>
              <td>
                <Time at={group.time} />
              </td>
              <td className="dim">
                <span className="clamp">{group.reason}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
