// How far a replay job is, as one bar: what ended by its status, what runs, what is left.

import { count } from "../ui/format";
import { type Job, partsOf } from "./replayModel";

export function Bar({ job, legend = false }: { job: Job; legend?: boolean }) {
  const parts = partsOf(job);
  const all = parts.reduce((sum, part) => sum + part.number, 0);
  if (all === 0) return <span className="faint">nothing to publish</span>;
  const left = parts.find((part) => part.accent === "left")?.number ?? 0;
  const running = parts.find((part) => part.accent === "running")?.number ?? 0;
  const words = parts.map((part) => `${count(part.number)} ${part.name}`).join(", ");
  return (
    <div className="bar-box">
      <div
        className="bar"
        role="progressbar"
        aria-label="Ended"
        aria-valuemin={0}
        aria-valuemax={all}
        aria-valuenow={all - left - running}
        aria-valuetext={words}
        title={words}
      >
        {parts.map((part) => (
          <i key={part.name} className={part.accent} style={{ flexGrow: part.number }} />
        ))}
      </div>
      {legend && (
        <ul className="bar-legend" aria-hidden="true">
          {parts.map((part) => (
            <li key={part.name}>
              <i className={part.accent} />
              {count(part.number)} <span className="dim">{part.name}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
