// The search field of lists: words with hints, read when Enter is pressed or the field is left.

import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { type Filter, formatFilter, HINTS, parseFilter, WORDS } from "../screens/filter";
import { useShortcuts } from "../shell/shortcuts";

/** What may complete the last word of a text. */
export function completions(text: string): string[] {
  const last = text.split(/\s+/).at(-1) ?? "";
  const [name, value] = last.split(":");
  if (value !== undefined) {
    const offered = HINTS[name as keyof typeof HINTS] ?? [];
    return offered
      .filter((each) => each.startsWith(value) && each !== value)
      .map((each) => `${name}:${each}`);
  }
  return last === "" ? [] : WORDS.filter((word) => word.startsWith(last)).map((word) => `${word}:`);
}

export function QueryBar({
  filter,
  onChange,
  placeholder,
}: {
  filter: Filter;
  onChange: (filter: Filter) => void;
  placeholder: string;
}) {
  const [text, setText] = useState(() => formatFilter(filter));
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  const written = formatFilter(filter);
  useEffect(() => setText(written), [written]);
  useShortcuts({ "/": () => input.current?.focus() });

  const offered = open ? completions(text).slice(0, 8) : [];
  const apply = (value: string) => {
    setOpen(false);
    setAt(-1);
    if (value !== written) onChange(parseFilter(value));
  };
  const complete = (word: string) => {
    const done = text.replace(/\S*$/, word);
    setText(word.endsWith(":") ? done : `${done} `);
    setAt(-1);
    if (!word.endsWith(":")) apply(done);
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const chosen = offered[at];
    if (step !== undefined && offered.length > 0) setAt((at + step + offered.length) % offered.length);
    else if (event.key === "Enter" && chosen !== undefined) complete(chosen);
    else if (event.key === "Tab" && offered[0] !== undefined && text !== "") complete(chosen ?? offered[0]);
    else if (event.key === "Enter") apply(text);
    else if (event.key === "Escape") {
      if (offered.length > 0) setOpen(false);
      else input.current?.blur();
    } else return;
    event.preventDefault();
  };
  return (
    <div className="query">
      <input
        ref={input}
        className="input"
        role="combobox"
        aria-label="Filter"
        aria-expanded={offered.length > 0}
        aria-controls={list}
        aria-autocomplete="list"
        {...(offered[at] !== undefined && { "aria-activedescendant": `${list}-${at}` })}
        placeholder={placeholder}
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setOpen(true);
          setAt(-1);
        }}
        onKeyDown={press}
        onBlur={() => apply(text)}
      />
      <span className="kbd" aria-hidden="true">
        /
      </span>
      <div
        id={list}
        role="listbox"
        aria-label="Words"
        className={offered.length > 0 ? "menu query-menu" : "hidden"}
      >
        {offered.map((word, index) => (
          <div
            key={word}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            onMouseDown={(event) => {
              event.preventDefault();
              complete(word);
            }}
          >
            <code>{word}</code>
          </div>
        ))}
      </div>
    </div>
  );
}
