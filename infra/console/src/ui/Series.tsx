// Series over time as small drawings: stacked bars by origin, and lines.  A table beside them has the same figures.

import { clock, count } from "./format";

const WIDTH = 720;

export interface Bucket {
  since: number;
  until: number;
  /** Heights by class of colour, from the bottom. */
  parts: [string, number][];
}

/** Bars; a click on one opens what is in it. */
export function Bars({
  buckets,
  label,
  height = 120,
  hrefOf,
  onOpen,
}: {
  buckets: Bucket[];
  label: string;
  height?: number;
  hrefOf: (bucket: Bucket) => string;
  onOpen: (bucket: Bucket) => void;
}) {
  const sums = buckets.map((bucket) => bucket.parts.reduce((sum, [, value]) => sum + value, 0));
  const most = Math.max(1, ...sums);
  const step = WIDTH / Math.max(1, buckets.length);
  return (
    <svg
      className="series"
      viewBox={`0 0 ${WIDTH} ${height}`}
      preserveAspectRatio="none"
      role="group"
      aria-label={label}
    >
      {buckets.map((bucket, index) => {
        let top = height;
        const sum = sums[index] ?? 0;
        const text = `${clock(bucket.since)}: ${count(sum)}`;
        return (
          <a
            key={bucket.since}
            href={hrefOf(bucket)}
            aria-label={text}
            onClick={(event) => {
              event.preventDefault();
              onOpen(bucket);
            }}
          >
            <title>
              {[
                text,
                ...bucket.parts
                  .filter(([, value]) => value > 0)
                  .map(([name, value]) => `${name} ${count(value)}`),
              ].join("\n")}
            </title>
            <rect x={index * step} y={0} width={step} height={height} className="series-hit" />
            {bucket.parts.map(([name, value]) => {
              const size = (value / most) * (height - 4);
              top -= size;
              return (
                <rect
                  key={name}
                  className={name}
                  fill="currentColor"
                  x={index * step + 1}
                  y={top}
                  width={Math.max(1, step - 2)}
                  height={size}
                />
              );
            })}
          </a>
        );
      })}
    </svg>
  );
}

export interface Line {
  name: string;
  className: string;
  values: (number | null)[];
}

/** Lines on one axis that begins at 0; a gap where there is no value. */
export function Lines({ lines, label, height = 120 }: { lines: Line[]; label: string; height?: number }) {
  const most = Math.max(1, ...lines.flatMap((line) => line.values.map((value) => value ?? 0)));
  const number = Math.max(1, ...lines.map((line) => line.values.length));
  const x = (index: number) => ((index + 0.5) / number) * WIDTH;
  const y = (value: number) => height - 2 - (value / most) * (height - 6);
  return (
    <svg
      className="series"
      viewBox={`0 0 ${WIDTH} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {lines.map((line) => (
        <g key={line.name} className={line.className}>
          {segments(line.values).map((segment) => (
            <path
              key={segment[0]?.[0]}
              fill="none"
              stroke="currentColor"
              strokeWidth="1.5"
              strokeLinecap="round"
              vectorEffect="non-scaling-stroke"
              d={
                segment
                  .map(([index, value], at) => `${at === 0 ? "M" : "L"}${x(index)} ${y(value)}`)
                  .join("") + (segment.length === 1 ? "h6" : "")
              }
            />
          ))}
        </g>
      ))}
    </svg>
  );
}

/** Runs of values without a gap, with their places. */
export function segments(values: (number | null)[]): [number, number][][] {
  const found: [number, number][][] = [];
  let open: [number, number][] | null = null;
  values.forEach((value, index) => {
    if (value === null) open = null;
    else if (open === null) {
      open = [[index, value]];
      found.push(open);
    } else open.push([index, value]);
  });
  return found;
}
