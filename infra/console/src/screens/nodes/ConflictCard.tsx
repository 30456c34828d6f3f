// Somebody else changed what is edited here: both versions, and which of them stays.

import { lazy, Suspense } from "react";
import type { Conflict } from "./useDesigns";

const SideBySide = lazy(() =>
  import("../../edit/JsonEditor").then((module) => ({ default: module.SideBySide })),
);

export function ConflictCard({
  conflict,
  onDecide,
}: {
  conflict: Conflict;
  /** `true`: what is here stays; `false`: what is stored replaces it. */
  onDecide: (mine: boolean) => void;
}) {
  return (
    <section className="card conflict" aria-label="Conflict">
      <div className="card-head">
        <h2>
          Somebody else changed {conflict.what} {conflict.id}
        </h2>
        <span className="card-actions">
          <button type="button" className="button" onClick={() => onDecide(false)}>
            Take theirs
          </button>
          <button type="button" className="button main" onClick={() => onDecide(true)}>
            Keep mine
          </button>
        </span>
      </div>
      <Suspense>
        <SideBySide
          label="Theirs and mine"
          left={JSON.stringify(conflict.theirs, null, 2)}
          right={JSON.stringify(conflict.mine, null, 2)}
        />
      </Suspense>
    </section>
  );
}
