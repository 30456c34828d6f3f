// An edit of many bodies: the operations of a JSON Patch, one a line, and their text.

import { type KeyboardEvent, useId, useState } from "react";
import type { Operation } from "../edit/jsonPatch";
import { isGuarded, readValue } from "./replayModel";

const OPERATIONS = ["replace", "add", "remove", "test"] as const;

export function PatchEditor({
  text,
  patch,
  many,
  onChange,
}: {
  text: string;
  /** The operations, or why the text has none. */
  patch: Operation[] | string;
  /** Whether it is for more than one body. */
  many: boolean;
  onChange: (text: string) => void;
}) {
  const [open, setOpen] = useState(false);
  const [raw, setRaw] = useState(false);
  const problem = useId();
  const broken = typeof patch === "string" ? patch : null;
  const operations = typeof patch === "string" ? [] : patch;
  const write = (next: Operation[]) =>
    onChange(next.length === 0 ? "" : `[\n${next.map((each) => `  ${JSON.stringify(each)}`).join(",\n")}\n]`);
  return (
    <section className="wide edit" aria-label="Edit">
      <div className="edit-head">
        <span className="dim">
          {operations.length === 0 && broken === null
            ? "Repeated as it was asked."
            : "Edited before it is repeated:"}
        </span>
        <span className="grow" />
        {operations.length > 0 && !open && !raw && (
          <button type="button" className="button quiet" onClick={() => onChange("")}>
            Remove the edit
          </button>
        )}
        <button type="button" className="button quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
          Add a change
        </button>
        <button type="button" className="button quiet" aria-expanded={raw} onClick={() => setRaw(!raw)}>
          JSON Patch
        </button>
      </div>
      {operations.length > 0 && (
        <ol className="operations">
          {operations.map((each, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: operations have no id, and their order is their meaning
            <li key={index} className={each.op === "test" ? "guard" : ""}>
              <span className="dim">{each.op === "test" ? "only where" : each.op}</span>
              <code>{each.path || "/"}</code>
              <code className="cut">
                {each.op === "remove"
                  ? ""
                  : `${each.op === "test" ? "is " : ""}${JSON.stringify(each.value)}`}
              </code>
              <button
                type="button"
                className="button quiet"
                aria-label={`Leave out ${each.op} ${each.path}`}
                onClick={() => write(operations.filter((_, at) => at !== index))}
              >
                ×
              </button>
            </li>
          ))}
        </ol>
      )}
      {many && broken === null && !isGuarded(operations) && (
        <p className="standin" role="status">
          For many, the first operation says which ones are meant: add <b>only where</b>.
        </p>
      )}
      {open && (
        <Adder
          onAdd={(operation) =>
            // What is tested comes before what is changed.
            write(operation.op === "test" ? [operation, ...operations] : [...operations, operation])
          }
        />
      )}
      {raw && (
        <textarea
          className="input mono"
          aria-label="JSON Patch"
          aria-invalid={broken !== null}
          aria-describedby={problem}
          rows={Math.min(12, Math.max(3, text.split("\n").length))}
          spellCheck={false}
          placeholder='[{"op": "replace", "path": "/params/temperature", "value": 0.9}]'
          value={text}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      <span id={problem} className="nothing">
        {broken}
      </span>
    </section>
  );
}

function Adder({ onAdd }: { onAdd: (operation: Operation) => void }) {
  const [op, setOp] = useState<Operation["op"]>("replace");
  const [path, setPath] = useState("");
  const [value, setValue] = useState("");
  const pointer = path === "" || path.startsWith("/") ? path : `/${path.replaceAll(".", "/")}`;
  const press = (event: KeyboardEvent) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  };
  const add = () => {
    if (pointer === "") return;
    onAdd({ op, path: pointer, ...(op !== "remove" && { value: readValue(value) }) });
    setPath("");
    setValue("");
  };
  return (
    <div className="adder">
      <select
        className="input"
        aria-label="Operation"
        value={op}
        onChange={(event) => setOp(event.target.value as Operation["op"])}
      >
        {OPERATIONS.map((each) => (
          <option key={each} value={each}>
            {each === "test" ? "only where" : each}
          </option>
        ))}
      </select>
      <input
        className="input mono"
        aria-label="Field"
        placeholder="/params/temperature"
        value={path}
        onChange={(event) => setPath(event.target.value)}
        onKeyDown={press}
      />
      <input
        className="input mono"
        aria-label="Value"
        placeholder="0.9"
        disabled={op === "remove"}
        value={value}
        onChange={(event) => setValue(event.target.value)}
        onKeyDown={press}
      />
      <button type="button" className="button" disabled={pointer === ""} onClick={add}>
        Add
      </button>
    </div>
  );
}
