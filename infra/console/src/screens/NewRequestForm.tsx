// The form of a new request; the request's page opens at once, and shows it being written.

import { useNavigate } from "@tanstack/react-router";
import { Dialog } from "radix-ui";
import { type FormEvent, useState } from "react";
import { post } from "../api/http";
import { useFocusReturn } from "../shell/useFocusReturn";
import { ErrorNote } from "../ui/parts";
import { HINTS } from "./filter";

export function NewRequestForm({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const giveBack = useFocusReturn();
  const [kind, setKind] = useState("layout");
  const [prompt, setPrompt] = useState("");
  const [error, setError] = useState<unknown>(null);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    post<{ job_id: string }>(
      "/api/generate-content",
      { kind, prompt },
      { headers: { Prefer: "respond-async" } },
    ).then(
      ({ job_id }) => navigate({ to: "/requests/$id", params: { id: job_id } }),
      (failure: unknown) => setError(failure),
    );
  };
  return (
    <Dialog.Root open onOpenChange={onClose}>
      <Dialog.Portal>
        <Dialog.Overlay className="dialog-veil" />
        <Dialog.Content className="dialog" aria-describedby={undefined} onCloseAutoFocus={giveBack}>
          <div className="card-head">
            <Dialog.Title asChild>
              <h2>New request</h2>
            </Dialog.Title>
          </div>
          <form className="card-body form" onSubmit={submit}>
            <label>
              Kind
              <select className="input" value={kind} onChange={(event) => setKind(event.target.value)}>
                {HINTS.kind
                  ?.filter((each) => each !== "custom")
                  .map((each) => (
                    <option key={each}>{each}</option>
                  ))}
              </select>
            </label>
            <label>
              What to generate
              <textarea
                className="input"
                rows={4}
                maxLength={4000}
                value={prompt}
                placeholder="a forest with three coins"
                onChange={(event) => setPrompt(event.target.value)}
              />
            </label>
            {error !== null && <ErrorNote error={error} />}
            <div className="form-foot">
              <Dialog.Close className="button">Cancel</Dialog.Close>
              <button type="submit" className="button main" disabled={prompt.trim() === ""}>
                Generate
              </button>
            </div>
          </form>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
