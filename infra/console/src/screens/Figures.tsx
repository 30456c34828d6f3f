// Figures of two sides, with how far they differ.

import { percent } from "../ui/format";

export interface Figure {
  name: string;
  first: string;
  second: string;
  /** The two as numbers, for the change between them. */
  numbers?: [number | null | undefined, number | null | undefined];
}

export const figure = (value: number | null | undefined, unit: (value: number) => string): string =>
  value === null || value === undefined ? "–" : unit(value);

function changeOf([first, second]: [number | null | undefined, number | null | undefined]): string {
  if (first === null || first === undefined || second === null || second === undefined) return "";
  if (first === 0 || first === second) return "";
  return `${second > first ? "+" : "−"}${percent(Math.abs(second / first - 1))}`;
}

export function Figures({ rows, sides }: { rows: Figure[]; sides: [string, string] }) {
  return (
    <table className="table measures">
      <thead>
        <tr>
          <th>
            <span className="hidden">Figure</span>
          </th>
          <th>{sides[0]}</th>
          <th>{sides[1]}</th>
          <th className="num">Change</th>
        </tr>
      </thead>
      <tbody>
        {rows
          .filter(({ first, second }) => first !== "–" || second !== "–")
          .map(({ name, first, second, numbers }) => (
            <tr key={name}>
              <td className="dim">{name}</td>
              <td>{first}</td>
              <td className={first === second ? "dim" : ""}>{second}</td>
              <td className="num dim">{numbers && changeOf(numbers)}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}
