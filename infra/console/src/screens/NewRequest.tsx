// Opens the form of a new request.

import { lazy, Suspense, useRef, useState } from "react";
import { useShortcuts } from "../shell/shortcuts";

const Form = lazy(() => import("./NewRequestForm").then((module) => ({ default: module.NewRequestForm })));

export function NewRequest() {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  useShortcuts({ c: () => setOpen(true) });
  return (
    <>
      <button ref={button} type="button" className="button main" onClick={() => setOpen(true)}>
        New request
      </button>
      <Suspense>
        {open && (
          <Form
            onClose={() => {
              setOpen(false);
              button.current?.focus();
            }}
          />
        )}
      </Suspense>
    </>
  );
}
