// A plan: what would be published and refused, and what it would come to.

import { Link } from "@tanstack/react-router";
import { count, duration, percent, shortId } from "../ui/format";
import { type Band, groupRefusals, type Item, type Plan } from "./replayModel";

const band = (found: Band, unit: (value: number) => string): string =>
  unit(found.low) === unit(found.high) ? unit(found.likely) : `${unit(found.low)} to ${unit(found.high)}`;

const money = (value: number): string => value.toFixed(value < 1 ? 4 : 2);

export function PlanView({
  plan,
  current,
  letters,
  rate,
}: {
  plan: Plan;
  /** Whether it is the plan of what the form says. */
  current: boolean;
  letters: boolean;
  rate: number | undefined;
}) {
  const { counts, estimate } = plan;
  const planned = counts.planned ?? 0;
  /** Seconds to publish all of them. */
  const publishing = rate === undefined ? 0 : planned / rate;
  const some = estimate.generated > 0;
  const refusals = groupRefusals(plan.items);
  const shown = refusals.reduce((sum, [, items]) => sum + items.length, 0);
  const whole = (value: number) => count(Math.round(value));
  return (
    <section className={current ? "plan" : "plan stale"} aria-label="Plan" aria-busy={!current}>
      <dl className="plan-figures">
        <div>
          <dt>Would be published</dt>
          <dd className="num">{count(planned)}</dd>
        </div>
        <div>
          <dt>Refused</dt>
          <dd className={`num ${(counts.refused ?? 0) > 0 ? "nothing" : ""}`}>
            {count(counts.refused ?? 0)}
          </dd>
        </div>
        <div>
          <dt>Replayed before</dt>
          <dd className="num">{count(counts.present ?? 0)}</dd>
        </div>
        <div>
          <dt>From the cache</dt>
          <dd className={`num ${(counts.cached ?? 0) > 0 ? "cache" : ""}`}>{count(counts.cached ?? 0)}</dd>
        </div>
        <div>
          <dt>Tokens</dt>
          <dd className="num">
            {some ? whole(estimate.tokens.likely) : "–"}
            <small>{some && band(estimate.tokens, whole)}</small>
          </dd>
        </div>
        <div>
          <dt>Money</dt>
          <dd className="num">
            {estimate.money === null ? "–" : money(estimate.money.likely)}
            <small>{estimate.money === null ? "no price is known" : band(estimate.money, money)}</small>
          </dd>
        </div>
        <div>
          <dt>Time</dt>
          <dd className="num">
            {some ? duration((publishing + estimate.seconds.likely) * 1000) : "–"}
            <small>
              {some &&
                (rate === undefined ? "for one; all at once" : `${duration(publishing * 1000)} to publish`)}
            </small>
          </dd>
        </div>
      </dl>
      <p className="faint">
        {some &&
          `Expected from ${count(estimate.sample)} like requests; at most ${count(estimate.most_tokens)} tokens.`}
        {estimate.unknown > 0 &&
          ` ${count(estimate.unknown)} are of kinds without a record, and not counted.`}
        {plan.past_error !== null && ` Earlier estimates were off by ${percent(plan.past_error)}.`} Plan{" "}
        <code>{plan.plan_hash}</code>
      </p>
      {refusals.length > 0 && (
        <ul className="refusals" aria-label="Refused">
          {refusals.slice(0, 8).map(([reason, items]) => (
            <li key={reason}>
              <span className="num">{count(items.length)}</span>
              <span>{reason}</span>
              <span className="mono cut">
                {items.slice(0, 3).map((item) => (
                  <Original key={item.request_id} item={item} letters={letters} />
                ))}
              </span>
            </li>
          ))}
          {(counts.refused ?? 0) > shown && (
            <li className="faint">
              <span />
              and {count((counts.refused ?? 0) - shown)} more
            </li>
          )}
        </ul>
      )}
    </section>
  );
}

/** What an item repeats. */
export function Original({ item, letters }: { item: Item; letters: boolean }) {
  if (letters && item.letter !== null) {
    return (
      <Link className="link" to="/dead" search={{ seq: String(item.letter) }}>
        letter {item.letter}
      </Link>
    );
  }
  const id = item.replay_of;
  if (id === null) return <span className="faint">{shortId(item.request_id)}</span>;
  return (
    <Link className="link" to="/requests/$id" params={{ id }} title={id}>
      {shortId(id)}
    </Link>
  );
}
