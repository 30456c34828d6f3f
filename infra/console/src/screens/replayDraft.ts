// An edit on its way from a letter to the replay desk: too long for an address, kept for this tab.

import type { Operation } from "../edit/jsonPatch";

/** Keep a patch; its key goes into the address. */
export function keepPatch(patch: Operation[]): string {
  const key = Math.random().toString(36).slice(2, 10);
  sessionStorage.setItem(`patch.${key}`, JSON.stringify(patch));
  return key;
}

/** A kept patch; `null`: this tab has none of that key. */
export function findPatch(key: string): Operation[] | null {
  const text = sessionStorage.getItem(`patch.${key}`);
  return text === null ? null : (JSON.parse(text) as Operation[]);
}
