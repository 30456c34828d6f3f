// A request's events on one time axis: each stage's work as a bar.

import type { Explanation, HistoryEvent } from "../api/model";
import { accentOf } from "../api/model";
import { duration } from "../ui/format";

interface Step {
  event: HistoryEvent;
  /** Milliseconds since the request was asked. */
  from: number;
  to: number;
}

/** Events with the time that led to each. */
export function steps(events: HistoryEvent[]): Step[] {
  return (
    events
      // A deadline that comes after the result has no effect.
      .filter(
        (event, index) => event.event !== "timer" && !(event.event === "deadline" && answered(events, index)),
      )
      .map((event) => ({ event, from: event.offset_ms - (event.latency_ms ?? 0), to: event.offset_ms }))
  );
}

const answered = (events: HistoryEvent[], before: number): boolean =>
  events.slice(0, before).some((event) => event.event === "result");

const WORDS: Record<string, string> = {
  requested: "asked",
  context_built: "context built",
  drafted: "draft written",
  structured: "structured",
  validation_failed: "validation failed",
  failed: "failed",
  result: "result",
  revised: "replaced",
};

export function Timeline({ story }: { story: Explanation }) {
  const found = steps(story.events);
  // A replay may replace the result days later: the axis ends with the result.
  const own = found.filter((step) => step.event.event !== "revised");
  const end = Math.max(1, ...own.map((step) => step.to));
  return (
    <section className="card" aria-label="Timeline">
      <div className="card-head">
        <h2>Timeline</h2>
        <span className="faint">{duration(end)}</span>
      </div>
      <ol className="timeline">
        {found.map(({ event, from, to }) => {
          const bad = event.event === "failed" || event.event === "validation_failed";
          const accent =
            event.event === "result" || event.event === "revised"
              ? accentOf((event.data.origin as string | undefined) ?? story.origin)
              : bad
                ? "nothing"
                : null;
          return (
            <li key={`${event.stream}${event.seq}`}>
              <span className="cut">
                {event.stage}{" "}
                {event.attempt !== null && event.attempt > 1 && (
                  <span className="standin">×{event.attempt}</span>
                )}
              </span>
              <span className={bad ? "nothing" : "dim"}>{WORDS[event.event] ?? event.event}</span>
              <span className="track" aria-hidden="true">
                <i
                  className={accent ?? ""}
                  style={{
                    left: `${(100 * from) / end}%`,
                    width: `${Math.max(0.4, (100 * (to - from)) / end)}%`,
                  }}
                />
              </span>
              <span className="num dim">{duration(event.latency_ms ?? 0)}</span>
              {(event.note || typeof event.data.message === "string") && (
                <span className="timeline-note faint">{event.note || String(event.data.message)}</span>
              )}
            </li>
          );
        })}
      </ol>
    </section>
  );
}
