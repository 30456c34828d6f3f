// The list of shortcuts.

import { Dialog } from "radix-ui";
import { PLACES } from "./places";
import { useFocusReturn } from "./useFocusReturn";

const GENERAL: [string, string][] = [
  ["Ctrl K", "Commands, screens, ids"],
  ["/", "Filter"],
  ["j  k", "Next, previous row"],
  ["Enter", "Open the row"],
  ["x", "Select the row"],
  ["space", "Pause the board"],
  ["?", "This list"],
];
const REVIEW: [string, string][] = [
  ["1  2  3  4  5", "Review: score the content, or the side that is marked"],
  ["←  →", "Review: mark the left side, the right one"],
  ["t", "Review: tags of that side"],
  ["n", "Review: save and go on, as Enter"],
  ["s", "Review: skip"],
  ["u", "Review: undo the last one"],
];

export function Shortcuts({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const giveBack = useFocusReturn();
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="dialog-veil" />
        <Dialog.Content
          className="dialog"
          tabIndex={0}
          aria-describedby={undefined}
          onCloseAutoFocus={giveBack}
        >
          <div className="card-head">
            <Dialog.Title asChild>
              <h2>Keyboard</h2>
            </Dialog.Title>
          </div>
          <div className="card-body">
            <dl className="facts">
              {[
                ...GENERAL,
                ...PLACES.map(({ key, name }): [string, string] => [`g ${key}`, name]),
                ...REVIEW,
              ].map(([key, what]) => (
                <div key={key} style={{ display: "contents" }}>
                  <dt>
                    <span className="kbd">{key}</span>
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
