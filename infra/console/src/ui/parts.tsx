// Small parts that every screen uses.

import { type ReactNode, useState } from "react";
import { Problem } from "../api/http";
import { accentOf, wordOf } from "../api/model";
import { clock } from "./format";

/** Who wrote it: a dot in the origin's colour, and the word. */
export function OriginLabel({
  origin,
  children,
}: {
  origin: string | null | undefined;
  children?: ReactNode;
}) {
  return <span className={`origin ${accentOf(origin) ?? "faint"}`}>{children ?? wordOf(origin)}</span>;
}

/** Time of day; the whole time on hover. */
export function Time({ at }: { at: number | string | null | undefined }) {
  if (at === null || at === undefined) return <span className="faint">–</span>;
  const iso = new Date(at).toISOString();
  return (
    <time className="mono dim" dateTime={iso} title={iso}>
      {clock(at)}
    </time>
  );
}

/** Copies a text, and says so. */
export function Copy({ text, children = "Copy" }: { text: string; children?: ReactNode }) {
  const [copied, setCopied] = useState(false);
  return (
    <button
      type="button"
      className="button quiet"
      onClick={() => {
        void navigator.clipboard.writeText(text).then(() => {
          setCopied(true);
          setTimeout(() => setCopied(false), 1500);
        });
      }}
    >
      {copied ? "Copied" : children}
    </button>
  );
}

/** A command to paste into a terminal. */
export function Command({ text }: { text: string }) {
  return (
    <span className="command">
      <code>{text}</code>
      <Copy text={text} />
    </span>
  );
}

/** What is not there yet, and the command that makes it so. */
export function Empty({
  title,
  children,
  action,
  command,
}: {
  title: string;
  children?: ReactNode;
  /** A button that makes it so. */
  action?: ReactNode;
  command?: string;
}) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children && <span>{children}</span>}
      {action}
      {command && <Command text={command} />}
    </div>
  );
}

/** An error with what the gateway says about it. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  const text = error instanceof Error ? error.message : String(error);
  return (
    <div className="note bad" role="alert">
      <strong>{problem?.title ?? "The gateway does not answer"}</strong>
      <span>{text}</span>
      {problem?.errors.map((fault) => (
        <span key={`${fault.pointer ?? fault.parameter}${fault.detail}`}>
          <code>{fault.pointer ?? fault.parameter}</code> {fault.detail}
        </span>
      ))}
      <span className="faint">
        {problem?.type && (
          <a href={problem.type}>
            <code>{problem.type}</code>
          </a>
        )}
        {problem?.requestId && (
          <>
            {" "}
            request <code>{problem.requestId}</code>
          </>
        )}
        {!problem && (
          <>
            Is it running? <code>understudy up</code>
          </>
        )}
      </span>
      {retry && (
        <button type="button" className="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** A share of a whole as a ring; empty at 0. */
export function Ring({
  share,
  size = 18,
  accent = "dim",
}: {
  share: number;
  size?: number;
  accent?: string;
}) {
  const radius = (size - 4) / 2;
  const length = 2 * Math.PI * radius;
  return (
    <svg
      className={`ring ${accent}`}
      width={size}
      height={size}
      viewBox={`0 0 ${size} ${size}`}
      aria-hidden="true"
    >
      <g fill="none" strokeWidth="2.5" transform={`rotate(-90 ${size / 2} ${size / 2})`}>
        <circle cx={size / 2} cy={size / 2} r={radius} />
        <circle
          cx={size / 2}
          cy={size / 2}
          r={radius}
          stroke="currentColor"
          strokeDasharray={length}
          strokeDashoffset={length * (1 - Math.max(0, Math.min(1, share)))}
        />
      </g>
    </svg>
  );
}

/** A document as text. */
export function Json({ value }: { value: unknown }) {
  const text = JSON.stringify(value, null, 2) ?? "";
  return (
    <pre className="json" tabIndex={0}>
      {text}
    </pre>
  );
}
