// Fields of a node's form: each shows what the gateway's own check found about it, and repairs it with a click.

import { type ReactNode, useId, useState } from "react";
import type { Json } from "../../edit/jsonPatch";
import { type Finding, findingsAt, type NodeConfig, readField, writeField } from "./model";

export interface FormProps {
  node: NodeConfig;
  findings: Finding[];
  /** `merge`: it goes on with the last change, as typing does. */
  onChange: (node: NodeConfig, merge?: boolean) => void;
  onFix: (fix: Finding["fixes"][number]) => void;
}

export function Findings({
  found,
  onFix,
  named = false,
}: {
  found: Finding[];
  onFix: FormProps["onFix"];
  /** Say which field each is about. */
  named?: boolean;
}) {
  return found.map((finding) => (
    <div key={`${finding.code}${finding.pointer}${finding.message}`} className="finding">
      <span
        className={
          finding.severity === "error" ? "nothing" : finding.severity === "warning" ? "standin" : "dim"
        }
      >
        {named && <code>{finding.pointer} </code>}
        {finding.message}; {finding.suggestion}
      </span>
      {finding.fixes.map((fix) => (
        <button key={fix.title} type="button" className="button" onClick={() => onFix(fix)}>
          {fix.title}
        </button>
      ))}
    </div>
  ));
}

export function Field({
  path,
  label,
  form,
  children,
}: {
  path: string;
  label: string;
  form: FormProps;
  children: (id: string, invalid: boolean) => ReactNode;
}) {
  const id = useId();
  const found = findingsAt(form.findings, path);
  const invalid = found.some((finding) => finding.severity === "error");
  return (
    <div className={invalid ? "field invalid" : "field"}>
      <label htmlFor={id}>{label}</label>
      {children(id, invalid)}
      <Findings found={found} onFix={form.onFix} />
    </div>
  );
}

export function TextField({
  path,
  label,
  form,
  placeholder,
}: {
  path: string;
  label: string;
  form: FormProps;
  placeholder?: string;
}) {
  const value = readField(form.node, path);
  return (
    <Field path={path} label={label} form={form}>
      {(id, invalid) => (
        <input
          id={id}
          className="input"
          aria-invalid={invalid}
          placeholder={placeholder}
          value={typeof value === "string" ? value : ""}
          onChange={(event) =>
            form.onChange(
              writeField(form.node, path, event.target.value === "" ? undefined : event.target.value),
              true,
            )
          }
        />
      )}
    </Field>
  );
}

export function NumberField({
  path,
  label,
  form,
  unit,
}: {
  path: string;
  label: string;
  form: FormProps;
  unit?: string;
}) {
  const value = readField(form.node, path);
  return (
    <Field path={path} label={unit ? `${label}, ${unit}` : label} form={form}>
      {(id, invalid) => (
        <input
          id={id}
          type="number"
          step="any"
          className="input"
          aria-invalid={invalid}
          value={typeof value === "number" ? value : ""}
          onChange={(event) => {
            const given = event.target.valueAsNumber;
            form.onChange(writeField(form.node, path, Number.isFinite(given) ? given : undefined), true);
          }}
        />
      )}
    </Field>
  );
}

export function ChoiceField({
  path,
  label,
  form,
  choices,
  words = {},
  none = "as usual",
}: {
  path: string;
  label: string;
  form: FormProps;
  choices: readonly string[];
  /** What a choice is called where its name does not say it. */
  words?: Record<string, string>;
  none?: string;
}) {
  const value = readField(form.node, path);
  return (
    <Field path={path} label={label} form={form}>
      {(id, invalid) => (
        <select
          id={id}
          className="input"
          aria-invalid={invalid}
          value={typeof value === "string" ? value : ""}
          onChange={(event) =>
            form.onChange(
              writeField(form.node, path, event.target.value === "" ? undefined : event.target.value),
            )
          }
        >
          <option value="">{none}</option>
          {typeof value === "string" && !choices.includes(value) && <option>{value}</option>}
          {choices.map((choice) => (
            <option key={choice} value={choice}>
              {words[choice] ?? choice.replaceAll("_", " ")}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A list of words: Enter adds one, a click removes it. */
export function WordsField({
  path,
  label,
  form,
  placeholder,
}: {
  path: string;
  label: string;
  form: FormProps;
  placeholder: string;
}) {
  const [text, setText] = useState("");
  const value = readField(form.node, path);
  const words = Array.isArray(value) ? value.filter((word): word is string => typeof word === "string") : [];
  const found = findingsAt(form.findings, path);
  const write = (next: Json[]) =>
    form.onChange(writeField(form.node, path, next.length > 0 ? next : undefined));
  const add = () => {
    const word = text.trim();
    if (word !== "" && !words.includes(word)) write([...words, word]);
    setText("");
  };
  return (
    <Field path={path} label={label} form={form}>
      {(id, invalid) => (
        <div className="words">
          {words.map((word, index) => (
            <button
              key={word}
              type="button"
              className={found.some((finding) => finding.pointer.endsWith(`/${index}`)) ? "word bad" : "word"}
              aria-label={`Remove ${word}`}
              onClick={() => write(words.filter((other) => other !== word))}
            >
              {word} ×
            </button>
          ))}
          <input
            id={id}
            className="input"
            aria-invalid={invalid}
            placeholder={placeholder}
            value={text}
            onChange={(event) => setText(event.target.value)}
            onBlur={add}
            onKeyDown={(event) => {
              if (event.key === "Enter" || event.key === ",") {
                event.preventDefault();
                add();
              } else if (event.key === "Backspace" && text === "" && words.length > 0)
                write(words.slice(0, -1));
            }}
          />
        </div>
      )}
    </Field>
  );
}
