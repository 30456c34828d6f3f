// Keyboard shortcuts: single keys, `mod+key`, and sequences such as `g r`.

import { useEffect, useRef } from "react";

/** Milliseconds within which the second key of a sequence must come. */
const SEQUENCE_MS = 900;
/** Begins the sequences that open screens. */
const GO = "g";

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;

/** Call functions on keys while the component is there; keys typed into fields are left alone. */
export function useShortcuts(keys: Record<string, (event: KeyboardEvent) => void>): void {
  const current = useRef(keys);
  useEffect(() => {
    current.current = keys;
  });
  useEffect(() => {
    let first = "";
    let at = 0;
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.altKey) return;
      const mod = event.ctrlKey || event.metaKey;
      if (!mod && isTyping(event.target)) return;
      const key = event.key === " " ? "space" : event.key.length > 1 ? event.key.toLowerCase() : event.key;
      const name = mod ? `mod+${key}` : key;
      const follows = performance.now() - at < SEQUENCE_MS;
      // The second key of a sequence is no key by itself: `g s` must not skip what `s` skips.
      const alone = follows && first === GO ? undefined : current.current[name];
      const found = (follows ? current.current[`${first} ${name}`] : undefined) ?? alone;
      first = name;
      at = performance.now();
      if (found) {
        event.preventDefault();
        found(event);
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}
