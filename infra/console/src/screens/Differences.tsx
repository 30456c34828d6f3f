// Fields that differ, one a line; texts word by word.

import { count } from "../ui/format";
import { type Difference, diffWords } from "./compareModel";

const shown = (value: unknown): string => {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
};

export function Differences({ title, differences }: { title: string; differences: Difference[] }) {
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        <span className="faint">{count(differences.length)}</span>
      </div>
      <table className="table differences">
        <thead>
          <tr>
            <th>Field</th>
            <th>First</th>
            <th>Second</th>
          </tr>
        </thead>
        <tbody>
          {differences.slice(0, 200).map((difference, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: operations have no id, and their order does not change
            <tr key={index}>
              <td>
                <code>{difference.path || "/"}</code>
                {difference.op === "move" && <span className="faint"> moved from {difference.from}</span>}
              </td>
              <td>
                <Side difference={difference} side="first" />
              </td>
              <td>
                <Side difference={difference} side="second" />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {differences.length > 200 && (
        <p className="card-body faint">and {count(differences.length - 200)} more</p>
      )}
    </section>
  );
}

/** Characters of a text that are compared word by word. */
const MOST_TEXT = 4000;

function Side({ difference, side }: { difference: Difference; side: "first" | "second" }) {
  const { op, old, value } = difference;
  const own = side === "first" ? old : value;
  if (op === (side === "first" ? "add" : "remove") || (op === "move" && own === undefined)) {
    return <span className="faint">–</span>;
  }
  const words = typeof old === "string" && typeof value === "string" && old.length + value.length < MOST_TEXT;
  const Mark = side === "first" ? "del" : "ins";
  if (op !== "replace" || !words) return <Mark>{shown(own)}</Mark>;
  return diffWords(old, value)
    .filter((piece) => piece.side === "both" || piece.side === side)
    .map((piece, index) =>
      piece.side === "both" ? (
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a text have no id
        <span key={index}>{piece.text}</span>
      ) : (
        // biome-ignore lint/suspicious/noArrayIndexKey: as above
        <Mark key={index}>{piece.text}</Mark>
      ),
    );
}
