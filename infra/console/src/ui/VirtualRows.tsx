// A long list with the rows that are seen; keys move through it.

import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useShortcuts } from "../shell/shortcuts";

const ROW_PX = 34;
/** Rows before the end at which more are loaded. */
const NEAR = 20;

export function VirtualRows<T>({
  rows,
  keyOf,
  header,
  children,
  onOpen,
  onSelect,
  onNearEnd,
  label,
  height = "calc(100vh - 190px)",
}: {
  rows: T[];
  keyOf: (row: T) => string;
  header: ReactNode;
  children: (row: T, chosen: boolean) => ReactNode;
  onOpen?: (row: T) => void;
  onSelect?: (row: T) => void;
  onNearEnd?: () => void;
  label: string;
  height?: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState(-1);
  const key = useRef(keyOf);
  key.current = keyOf;
  // A new function makes the virtualizer go through all rows: for a hundred thousand that is more than a frame.
  const keyAt = useCallback(
    (index: number) => {
      const row = rows[index];
      return row === undefined ? index : key.current(row);
    },
    [rows],
  );
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
    getItemKey: keyAt,
  });
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (rows.length > 0 && last >= rows.length - NEAR) onNearEnd?.();
  }, [last, rows.length, onNearEnd]);

  const move = (step: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, at + step));
    setAt(next);
    virtual.scrollToIndex(next);
  };
  const chosen = rows[at];
  useShortcuts({
    j: () => move(1),
    k: () => move(-1),
    x: () => chosen !== undefined && onSelect?.(chosen),
    enter: (event) => {
      const target = event.target as HTMLElement;
      if (target.closest("a, button") !== null) target.click();
      else if (chosen !== undefined) onOpen?.(chosen);
    },
  });
  return (
    <div
      ref={box}
      className="rows"
      role="table"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      style={{ maxHeight: height }}
      tabIndex={0}
    >
      <div role="rowgroup" className="rows-head">
        {header}
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {shown.map(({ index, start, key: name }) => {
          const row = rows[index];
          return (
            row !== undefined && (
              <div
                key={name}
                role="row"
                aria-rowindex={index + 2}
                className={index === at ? "row chosen" : "row"}
                style={{ transform: `translateY(${start}px)`, height: ROW_PX }}
                onClick={(event) => {
                  setAt(index);
                  if ((event.target as HTMLElement).closest("a, button, input, label") === null)
                    onOpen?.(row);
                }}
              >
                {children(row, index === at)}
              </div>
            )
          );
        })}
      </div>
    </div>
  );
}
