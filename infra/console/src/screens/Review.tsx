// Review: one content or two, scored by keys alone; what wrote them is shown with the score.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { get, type Problem, post } from "../api/http";
import { useShortcuts } from "../shell/shortcuts";
import { count } from "../ui/format";
import { ReviewPicture } from "../ui/Picture";
import { Command, Copy, Empty, ErrorNote, Json, OriginLabel } from "../ui/parts";
import { QueryBar } from "../ui/QueryBar";
import { type Filter, toQuery } from "./filter";
import { Promote, ReviewCandidates } from "./ReviewCandidates";
import { ReviewReport } from "./ReviewReport";
import {
  bodyOf,
  type Draft,
  type Item,
  nextCommand,
  type Outcome,
  othersOf,
  type Queue,
  type RevealedSide,
  score,
  scoreCommand,
  sidesOf,
  skipCommand,
  undoCommand,
  writerOf,
} from "./reviewModel";
import "./requests.css";
import "./review.css";

const PATH = "/api/v1/reviews";
const SCORES = [1, 2, 3, 4, 5];
const TAGS = ["vivid", "dull", "off-brief", "repetitive", "broken", "personal"];

export function Review() {
  const { mode, ...filter } = useSearch({ from: "/review" });
  const pair = mode === "pair";
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [last, setLast] = useState<Outcome | null>(null);
  const key = ["reviews", "queue", pair, filter] as const;
  const queue = useQuery<Queue, Problem>({
    queryKey: key,
    queryFn: ({ signal }) =>
      get<Queue>(`${PATH}/queue`, { ...toQuery(filter), mode: pair ? "pair" : "single" }, signal),
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  // The next item is waited for; report and candidates come when they come.
  const refetch = () => {
    void queries.invalidateQueries({ queryKey: ["reviews", "report"] });
    void queries.invalidateQueries({ queryKey: ["reviews", "candidates"] });
    return queries.invalidateQueries({ queryKey: ["reviews", "queue"] });
  };
  const decide = useMutation<Outcome, Problem, object>({
    mutationFn: (body) => post<Outcome>(PATH, body),
    onSuccess: (outcome) => {
      setLast(outcome);
      return refetch();
    },
  });
  const undo = useMutation<Item, Problem, void>({
    mutationFn: () => post<Item>(`${PATH}/undo`),
    onSuccess: async (item) => {
      setLast(null);
      await refetch();
      // Also where it was asked for with another filter.
      queries.setQueryData<Queue>(key, (before) => before && { ...before, item });
    },
  });
  const busy = decide.isPending || undo.isPending || queue.isFetching;
  useShortcuts({ u: () => !busy && undo.mutate() });
  const find = (search: Filter & { mode?: string }) => void navigate({ to: "/review", search });
  const found = queue.data;
  return (
    <>
      <div className="page-head">
        <h1>Review</h1>
        <div className="grow" />
        <Copy text={nextCommand(filter, pair, found?.reviewer)}>Copy as command</Copy>
      </div>
      <div className="toolbar">
        <QueryBar
          filter={filter}
          onChange={(search) => find(pair ? { ...search, mode: "pair" } : search)}
          placeholder="kind:layout node:gate since:7d: which results are reviewed"
        />
        <fieldset className="quick">
          <legend className="hidden">At once</legend>
          <button type="button" aria-pressed={!pair} onClick={() => find(filter)}>
            One
          </button>
          <button type="button" aria-pressed={pair} onClick={() => find({ ...filter, mode: "pair" })}>
            Pair
          </button>
        </fieldset>
      </div>
      {queue.error && <ErrorNote error={queue.error} retry={() => void queue.refetch()} />}
      {decide.error && <ErrorNote error={decide.error} />}
      {undo.error && <ErrorNote error={undo.error} />}
      {found && (
        <p className="faint review-count" role="status">
          {count(found.waiting)} wait for {found.reviewer}, {count(found.scored)} scored
          {found.gone > 0 && `, ${count(found.gone)} left out: the audit does not have their content`}.
        </p>
      )}
      {found?.item && (
        <ItemView
          key={found.item.item}
          item={found.item}
          reviewer={found.reviewer}
          busy={busy}
          onDecide={decide.mutate}
        />
      )}
      {found && found.item === null && (
        <div className="card">
          <Empty
            title={pair ? "No two results that can be compared wait" : "Nothing waits for you"}
            command={nextCommand(filter, pair, found.reviewer)}
          >
            Results of models come here as soon as the audit has them.
          </Empty>
        </div>
      )}
      {found && (
        <div className="review-keys">
          <button type="button" className="button" disabled={busy} onClick={() => undo.mutate()}>
            Undo <span className="kbd">u</span>
          </button>
          <Command text={undoCommand(found.reviewer)} />
        </div>
      )}
      {last && last.sides.length > 0 && <Reveal outcome={last} />}
      <ReviewReport />
      <ReviewCandidates />
    </>
  );
}

function ItemView({
  item,
  reviewer,
  busy,
  onDecide,
}: {
  item: Item;
  reviewer: string;
  busy: boolean;
  onDecide: (body: object) => void;
}) {
  const [drafts, setDrafts] = useState<Draft[]>(() => item.sides.map(() => ({ score: null, tags: "" })));
  const [side, setSide] = useState(0);
  const tags = useRef<(HTMLInputElement | null)[]>([]);
  const box = useRef<HTMLElement>(null);
  const body = bodyOf(item, drafts);
  const rate = (at: number, value: number) => {
    const after = score(drafts, at, value);
    setDrafts(after.drafts);
    setSide(after.side);
  };
  const save = () => {
    if (body && !busy) onDecide(body);
  };
  const skip = () => {
    if (!busy) onDecide({ item: item.item, skip: true });
  };
  // Whoever reads along with a screen reader hears what comes next.
  useEffect(() => box.current?.focus({ preventScroll: true }), []);
  useShortcuts({
    ...Object.fromEntries(SCORES.map((value) => [String(value), () => rate(side, value)])),
    arrowleft: () => setSide(0),
    arrowright: () => setSide(item.sides.length - 1),
    t: () => tags.current[side]?.focus(),
    n: save,
    s: skip,
    enter: (event) => {
      const control = (event.target as HTMLElement).closest<HTMLElement>("a, button, summary");
      if (control) control.click();
      else save();
    },
  });
  const names = sidesOf(item);
  return (
    <section
      ref={box}
      tabIndex={-1}
      className="review-item"
      aria-label={item.sides.length > 1 ? `Two of kind ${item.kind}` : `A ${item.kind}`}
    >
      {item.revealed && (
        <p className="standin">You have seen what wrote this: an earlier score was undone.</p>
      )}
      <div className={item.sides.length > 1 ? "review-sides" : undefined}>
        {item.sides.map((shown, at) => (
          <section
            key={names[at]}
            className={at === side && item.sides.length > 1 ? "card review-marked" : "card"}
            aria-label={names[at]}
          >
            <div className="card-head">
              <h2>{item.sides.length > 1 ? names[at] : item.kind}</h2>
              {at === side && item.sides.length > 1 && (
                <span className="faint">the keys score this side</span>
              )}
            </div>
            {shown.wish && <p className="card-body review-wish">{shown.wish}</p>}
            <ReviewPicture item={item.item} side={at} title={`${names[at]}: ${item.kind}`} />
            <details className="review-text">
              <summary>As text</summary>
              <Json value={shown.content} />
            </details>
            <div className="card-body review-score">
              <fieldset className="quick">
                <legend className="hidden">Score: {names[at]}</legend>
                {SCORES.map((value) => (
                  <button
                    key={value}
                    type="button"
                    aria-label={`Score ${value} of 5`}
                    aria-pressed={drafts[at]?.score === value}
                    onClick={() => rate(at, value)}
                  >
                    {value}
                  </button>
                ))}
              </fieldset>
              <input
                ref={(input) => {
                  tags.current[at] = input;
                }}
                className="input"
                aria-label={`Tags: ${names[at]}`}
                placeholder="tags (t): vivid, off-brief"
                list="review-tags"
                maxLength={200}
                value={drafts[at]?.tags ?? ""}
                onFocus={() => setSide(at)}
                onChange={({ target }) =>
                  setDrafts((before) =>
                    before.map((each, index) => (index === at ? { ...each, tags: target.value } : each)),
                  )
                }
                onKeyDown={(event) => {
                  if (event.key !== "Enter" && event.key !== "Escape") return;
                  event.preventDefault();
                  box.current?.focus({ preventScroll: true });
                }}
              />
            </div>
          </section>
        ))}
      </div>
      <datalist id="review-tags">
        {TAGS.map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <div className="review-keys">
        <button type="button" className="button main" disabled={body === null || busy} onClick={save}>
          Save and next <span className="kbd">n</span>
        </button>
        <Command text={scoreCommand(item, drafts, reviewer)} />
      </div>
      <div className="review-keys">
        <button type="button" className="button" disabled={busy} onClick={skip}>
          Skip <span className="kbd">s</span>
        </button>
        <Command text={skipCommand(item, reviewer)} />
      </div>
    </section>
  );
}

function Reveal({ outcome }: { outcome: Outcome }) {
  const words = { left: "You prefer the left one.", right: "You prefer the right one.", tie: "A tie." };
  return (
    <section className="card review-card" aria-label="What you scored last">
      <div className="card-head">
        <h2>What you scored last</h2>
        {outcome.preferred && <span className="dim">{words[outcome.preferred]}</span>}
      </div>
      <div className="card-body review-reveal">
        {outcome.sides.map((side, at) => (
          <RevealedView key={side.request_id} side={side} name={["Left", "Right"][at] ?? ""} />
        ))}
      </div>
    </section>
  );
}

function RevealedView({ side, name }: { side: RevealedSide; name: string }) {
  return (
    <div>
      <p>
        <b>{side.score}</b> {name && <span className="dim">{name}</span>}{" "}
        <Link className="mono link" to="/requests/$id" params={{ id: side.request_id }}>
          {side.request_id}
        </Link>{" "}
        <OriginLabel origin={side.origin} /> {writerOf(side)}
      </p>
      <p className="dim">
        {othersOf(side)}
        {side.node && `, node ${side.node}`}
        {side.cost !== null && `, cost ${side.cost.toPrecision(3)}`}
      </p>
      <Promote id={side.request_id} />
    </div>
  );
}
