// A quick fix is a JSON Patch of the node's content.

import type { Json } from "../../edit/jsonPatch";
import { resolve } from "../../edit/jsonPatch";

interface FixOperation {
  op: string;
  path: string;
  value?: Json;
  from?: string;
}

type Container = { [name: string]: Json } | Json[];

/** The document after a patch; the document itself where the patch does not fit it any more. */
export function applyFix(document: Json, patch: FixOperation[]): Json {
  let root = structuredClone(document);
  for (const { op, path, value, from } of patch) {
    const moved = op === "move" || op === "copy" ? resolve(root, from ?? "") : value;
    if (op === "test") continue;
    if ((op === "move" || op === "copy") && moved === undefined) return document;
    if (op === "move") root = change(root, from ?? "", "remove", undefined) ?? root;
    const after = change(
      root,
      path,
      op === "remove" || op === "replace" ? op : "add",
      structuredClone(moved),
    );
    if (after === undefined) return document;
    root = after;
  }
  return root;
}

function change(
  root: Json,
  path: string,
  op: "add" | "remove" | "replace",
  value: Json | undefined,
): Json | undefined {
  const parts = path.split("/").slice(1);
  const last = parts.at(-1)?.replaceAll("~1", "/").replaceAll("~0", "~");
  if (last === undefined) return value;
  const place = resolve(root, path.slice(0, path.lastIndexOf("/"))) as Container | undefined;
  if (place === undefined || place === null || typeof place !== "object") return undefined;
  if (Array.isArray(place)) {
    const index = last === "-" ? place.length : Number(last);
    if (op === "remove") place.splice(index, 1);
    else if (op === "replace") place[index] = value as Json;
    else place.splice(index, 0, value as Json);
  } else if (op === "remove") delete place[last];
  else place[last] = value as Json;
  return root;
}
