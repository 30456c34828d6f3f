// Opens the form of a new request.

import { lazy, Suspense, useState } from "react";
import { useShortcuts } from "../shell/shortcuts";

const Form = lazy(() => import("./NewRequestForm").then((module) => ({ default: module.NewRequestForm })));

export function NewRequest() {
  const [open, setOpen] = useState(false);
  useShortcuts({ c: () => setOpen(true) });
  return (
    <>
      <button type="button" className="button main" onClick={() => setOpen(true)}>
        New request
      </button>
      <Suspense>{open && <Form onClose={() => setOpen(false)} />}</Suspense>
    </>
  );
}
