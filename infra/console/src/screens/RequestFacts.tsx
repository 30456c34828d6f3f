// What is beside a request's content: its facts, its calls to models, and its relatives.

import { Link } from "@tanstack/react-router";
import type { Attempt, Explanation, Result } from "../api/model";
import { clock, count, duration, shortId } from "../ui/format";
import { Time } from "../ui/parts";
import { times } from "./times";

export function Facts({ story, result }: { story: Explanation; result: Result | null | undefined }) {
  const { asked, deadline, ended } = times(story);
  const meta = result?.meta;
  const first = story.events[0];
  const last = story.events.at(-1);
  return (
    <section className="card" aria-label="Facts">
      <div className="card-head">
        <h2>Facts</h2>
      </div>
      <dl className="facts card-body">
        <dt>Asked</dt>
        <dd>
          <Time at={asked} />
        </dd>
        <dt>Took</dt>
        <dd>{ended === null ? "–" : duration(ended - asked)}</dd>
        {deadline !== null && (
          <>
            <dt>Deadline</dt>
            <dd>{clock(deadline)}</dd>
          </>
        )}
        <dt>Status</dt>
        <dd>{story.status}</dd>
        {meta?.model && (
          <>
            <dt>Model</dt>
            <dd>
              {meta.model} <span className="faint">{meta.provider}</span>
            </dd>
          </>
        )}
        {meta?.tokens && (meta.tokens.prompt ?? meta.tokens.completion) !== null && (
          <>
            <dt>Tokens</dt>
            <dd>
              {count(meta.tokens.prompt ?? 0)} in, {count(meta.tokens.completion ?? 0)} out
            </dd>
          </>
        )}
        {meta?.cost?.amount !== null && meta?.cost?.amount !== undefined && (
          <>
            <dt>Cost</dt>
            <dd>
              {meta.cost.amount} {meta.cost.currency}
            </dd>
          </>
        )}
        <dt>Log</dt>
        <dd className="mono">
          {first?.stream} {first?.seq}
          {last && last !== first ? `, ${last.stream} ${last.seq}` : ""}
        </dd>
      </dl>
    </section>
  );
}

export function Attempts({ attempts }: { attempts: Attempt[] }) {
  if (attempts.length === 0) return null;
  return (
    <section className="card" aria-label="Calls">
      <div className="card-head">
        <h2>Calls</h2>
        <span className="faint">{attempts.length}</span>
      </div>
      <table className="table">
        <tbody>
          {attempts.map((attempt, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: calls have no id, and their order does not change
            <tr key={index}>
              <td>
                {attempt.provider} <span className="dim">{attempt.model}</span>
                {attempt.why && <div className="faint">{attempt.why}</div>}
              </td>
              <td>
                {attempt.code ? (
                  <code className="nothing">{attempt.code}</code>
                ) : (
                  <span className="live">ok</span>
                )}
              </td>
              <td className="num">{duration(attempt.time_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** How a model judged the content, and what became of the rewriting; nothing where both are off. */
export function Helpers({ story }: { story: Explanation }) {
  const { evaluation, enhancement } = story;
  if (!evaluation && !enhancement) return null;
  const title = evaluation ? "Evaluation" : "Enhancement";
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        {evaluation && (
          <span className={evaluation.score === null ? "faint" : "num"}>
            {evaluation.score === null ? evaluation.state : `${evaluation.score} of 5`}
          </span>
        )}
      </div>
      <dl className="facts card-body">
        {evaluation?.criteria.map((each) => (
          <div key={each.name} style={{ display: "contents" }}>
            <dt>{each.name.replaceAll("_", " ")}</dt>
            <dd>
              <strong>{each.score}</strong> <span className="dim">{each.reason}</span>
            </dd>
          </div>
        ))}
        {evaluation?.score === null && (
          <>
            <dt>Not scored</dt>
            <dd>{evaluation.reason}</dd>
          </>
        )}
        {evaluation?.provider && (
          <>
            <dt>Judge</dt>
            <dd>
              {evaluation.model} <span className="faint">{evaluation.provider}</span>,{" "}
              {duration(evaluation.time_ms)}, rubric {evaluation.rubric}
            </dd>
          </>
        )}
        {enhancement && (
          <>
            <dt>Enhancement</dt>
            <dd>
              {enhancement.of} {enhancement.state}
              {enhancement.reason && <span className="dim">: {enhancement.reason}</span>}
              {enhancement.provider && (
                <span className="faint">
                  {" "}
                  {enhancement.model}, {duration(enhancement.time_ms)}
                </span>
              )}
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}

export function Lineage({ story }: { story: Explanation }) {
  const relatives: [string, string[]][] = [
    ["Replay of", story.replay_of ? [story.replay_of] : []],
    ["Replaced by", story.revised_by ? [story.revised_by] : []],
    ["Generated for", story.generated_for ? [story.generated_for] : []],
    ["Scene of", story.scene_of ? [story.scene_of] : []],
    ["Scenes", story.scenes],
  ];
  const found = relatives.filter(([, ids]) => ids.length > 0);
  if (found.length === 0) return null;
  return (
    <section className="card" aria-label="Lineage">
      <div className="card-head">
        <h2>Lineage</h2>
      </div>
      <dl className="facts card-body">
        {found.map(([name, ids]) => (
          <div key={name} style={{ display: "contents" }}>
            <dt>{name}</dt>
            <dd>
              {ids.map((id) => (
                <div key={id}>
                  <Link className="mono link" to="/requests/$id" params={{ id }}>
                    {shortId(id)}
                  </Link>
                  {name === "Replay of" && story.replay_of && (
                    <Link className="link dim" to="/compare" search={{ a: id, b: story.request_id }}>
                      {" "}
                      compare
                    </Link>
                  )}
                </div>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
