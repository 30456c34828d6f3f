// JSON Patch (RFC 6902) between two documents.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Operation {
  op: "add" | "remove" | "replace" | "test";
  path: string;
  value?: Json;
}

const escaped = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");

const isObject = (value: Json | undefined): value is { [name: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether two documents are the same; the order of an object's fields does not matter. */
export function same(left: Json | undefined, right: Json | undefined): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((value, index) => same(value, right[index]));
  }
  if (isObject(left) && isObject(right)) {
    const names = Object.keys(left);
    return (
      names.length === Object.keys(right).length &&
      names.every((name) => Object.hasOwn(right, name) && same(left[name], right[name]))
    );
  }
  return Object.is(left, right);
}

/** What makes `after` of `before`. */
export function diff(before: Json, after: Json, path = ""): Operation[] {
  if (same(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const found: Operation[] = [];
    for (const name of Object.keys(before)) {
      const at = `${path}/${escaped(name)}`;
      if (!Object.hasOwn(after, name)) found.push({ op: "remove", path: at });
      else found.push(...diff(before[name] as Json, after[name] as Json, at));
    }
    for (const name of Object.keys(after)) {
      if (!Object.hasOwn(before, name)) {
        found.push({ op: "add", path: `${path}/${escaped(name)}`, value: after[name] as Json });
      }
    }
    return found;
  }
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    return before.flatMap((value, index) => diff(value, after[index] as Json, `${path}/${index}`));
  }
  return [{ op: "replace", path, value: after }];
}

/** The value at a pointer; `undefined` where there is none. */
export function resolve(document: Json, pointer: string): Json | undefined {
  let value: Json | undefined = document;
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(value)) value = value[Number(name)];
    else if (isObject(value)) value = Object.hasOwn(value, name) ? value[name] : undefined;
    else return undefined;
  }
  return value;
}

/** A patch for many documents: it first tests each value that it changes, so that it fits those alone. */
export function guarded(before: Json, operations: Operation[]): Operation[] {
  const tests = operations.flatMap(({ op, path }): Operation[] => {
    const value = op === "add" ? undefined : resolve(before, path);
    return value === undefined ? [] : [{ op: "test", path, value }];
  });
  return [...tests, ...operations];
}
