// Command palette: screens, requests by id, themes.

import { useNavigate } from "@tanstack/react-router";
import { Dialog } from "radix-ui";
import { type KeyboardEvent, useEffect, useMemo, useState } from "react";
import { PLACES } from "./places";
import { setTheme } from "./theme";
import { useFocusReturn } from "./useFocusReturn";

interface Action {
  name: string;
  hint: string;
  run: () => void;
}

export function Palette({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const navigate = useNavigate();
  const giveBack = useFocusReturn();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  useEffect(() => {
    if (open) setText("");
  }, [open]);

  const actions = useMemo((): Action[] => {
    const typed = text.trim();
    const all: Action[] = [
      ...PLACES.map(({ name, path, key }) => ({
        name,
        hint: `g ${key}`,
        run: () => void navigate({ to: path }),
      })),
      ...(["system", "light", "dark"] as const).map((theme) => ({
        name: `Theme: ${theme}`,
        hint: "",
        run: () => setTheme(theme),
      })),
    ];
    const found = all.filter(({ name }) => name.toLowerCase().includes(typed.toLowerCase()));
    if (/^[A-Za-z0-9_-]{4,}$/.test(typed)) {
      found.push({
        name: `Request ${typed}`,
        hint: "open",
        run: () => void navigate({ to: "/requests/$id", params: { id: typed } }),
      });
    }
    if (typed !== "") {
      found.push({
        name: `Requests with “${typed}”`,
        hint: "search",
        run: () => void navigate({ to: "/requests", search: { text: typed } }),
      });
    }
    return found;
  }, [navigate, text]);
  const chosen = Math.min(at, actions.length - 1);

  const press = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt((chosen + 1) % actions.length);
    else if (event.key === "ArrowUp") setAt((chosen + actions.length - 1) % actions.length);
    else if (event.key === "Enter") {
      onOpenChange(false);
      actions[chosen]?.run();
    } else return;
    event.preventDefault();
  };
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Overlay className="dialog-veil" />
        <Dialog.Content className="dialog" aria-describedby={undefined} onCloseAutoFocus={giveBack}>
          <Dialog.Title className="hidden">Commands</Dialog.Title>
          <input
            className="palette-input"
            role="combobox"
            aria-expanded="true"
            aria-controls="palette-list"
            aria-activedescendant={`palette-${chosen}`}
            aria-label="Command, screen or request"
            placeholder="A screen, a request's id, or words to search for"
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              setAt(0);
            }}
            onKeyDown={press}
          />
          <div id="palette-list" role="listbox" aria-label="Commands" className="palette-list">
            {actions.map((action, index) => (
              <div
                key={action.name}
                id={`palette-${index}`}
                role="option"
                aria-selected={index === chosen}
                onMouseMove={() => setAt(index)}
                onClick={() => {
                  onOpenChange(false);
                  action.run();
                }}
              >
                {action.name}
                <span className="faint">{action.hint}</span>
              </div>
            ))}
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
