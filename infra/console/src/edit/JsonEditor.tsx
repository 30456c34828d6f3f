// JSON editor: faults are shown at their fields, and a diff against the stored document beside it.

import { json, jsonParseLinter } from "@codemirror/lang-json";
import { ensureSyntaxTree, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, forceLinting, linter, lintGutter } from "@codemirror/lint";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState, type Extension, StateEffect } from "@codemirror/state";
import { tags } from "@lezer/highlight";
import { basicSetup, EditorView } from "codemirror";
import { useEffect, useRef } from "react";
import type { Fault } from "../api/http";
import "./editor.css";

/** Characters above which differences are not computed while one types. */
const MOST_DIFF = 200_000;

/** The colours are the console's own. */
const theme: Extension = EditorView.theme({
  "&": { fontSize: "12px", backgroundColor: "var(--surface)", color: "var(--text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--cache-soft) !important",
  },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line)", borderRadius: "6px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--nothing)" },
});

const highlighting = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.propertyName, color: "var(--text)" },
    { tag: tags.string, color: "var(--cache)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--scripted)" },
    { tag: tags.punctuation, color: "var(--dim)" },
  ]),
);

/** Where the value of a pointer is in a text; the whole text where there is no such value. */
export function findRange(state: EditorState, pointer: string): { from: number; to: number } {
  const tree = ensureSyntaxTree(state, state.doc.length, 200);
  const whole = { from: 0, to: Math.min(state.doc.length, 1) };
  let node = tree?.topNode.firstChild ?? null;
  let found = node ? { from: node.from, to: node.to } : whole;
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (node === null) break;
    if (node.name === "Object") {
      let property = node.getChild("Property");
      while (property !== null) {
        const key = property.getChild("PropertyName");
        if (key !== null && readName(state, key.from, key.to) === name) break;
        property = property.nextSibling?.name === "Property" ? property.nextSibling : nextProperty(property);
      }
      if (property === null) break;
      node = property.lastChild;
    } else if (node.name === "Array") {
      let item = node.firstChild;
      let index = -1;
      while (item !== null) {
        if (!"[],".includes(item.name)) index += 1;
        if (index === Number(name)) break;
        item = item.nextSibling;
      }
      if (item === null) break;
      node = item;
    } else break;
    if (node !== null) found = { from: node.from, to: node.to };
  }
  return found;
}

type SyntaxNode = NonNullable<NonNullable<ReturnType<typeof ensureSyntaxTree>>["topNode"]["firstChild"]>;

function nextProperty(property: SyntaxNode): SyntaxNode | null {
  let next = property.nextSibling;
  while (next !== null && next.name !== "Property") next = next.nextSibling;
  return next;
}

function readName(state: EditorState, from: number, to: number): string {
  try {
    return JSON.parse(state.sliceDoc(from, to)) as string;
  } catch {
    return state.sliceDoc(from, to);
  }
}

const parsing = jsonParseLinter();
/** The faults changed and the text did not: without it the editor keeps marks of what is repaired. */
const judged = StateEffect.define<null>();

const mark = (state: EditorState, fault: Fault): Diagnostic => ({
  ...findRange(state, fault.pointer ?? ""),
  severity: "error",
  message: `${fault.pointer ?? ""} ${fault.detail}`.trim(),
});

export function JsonEditor({
  value,
  original,
  faults,
  label,
  onChange,
}: {
  /** The text at first; a later one replaces what is typed. */
  value: string;
  /** Shown as removed lines where the text differs from it. */
  original?: string;
  faults: Fault[];
  label: string;
  onChange: (text: string) => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const changed = useRef(onChange);
  const known = useRef(faults);
  useEffect(() => {
    changed.current = onChange;
  });
  useEffect(() => {
    if (place.current === null) return;
    const diffing =
      original !== undefined && original.length + value.length < MOST_DIFF
        ? [unifiedMergeView({ original, mergeControls: false, gutter: true })]
        : [];
    const editor = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          basicSetup,
          json(),
          linter((shown) => [...parsing(shown), ...known.current.map((fault) => mark(shown.state, fault))], {
            delay: 0,
            needsRefresh: (update) =>
              update.transactions.some((each) => each.effects.some((effect) => effect.is(judged))),
          }),
          lintGutter(),
          theme,
          highlighting,
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": label }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed.current(update.state.doc.toString());
          }),
          ...diffing,
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, [value, original, label]);
  useEffect(() => {
    known.current = faults;
    if (view.current === null) return;
    view.current.dispatch({ effects: judged.of(null) });
    forceLinting(view.current);
  }, [faults]);
  return <div className="editor" ref={place} />;
}

/** Two texts side by side, with what differs. */
export function SideBySide({ left, right, label }: { left: string; right: string; label: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (place.current === null || left.length + right.length > MOST_DIFF) return;
    const extensions = [
      json(),
      theme,
      EditorView.lineWrapping,
      EditorState.readOnly.of(true),
      EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    ];
    const merged = new MergeView({
      parent: place.current,
      a: { doc: left, extensions },
      b: { doc: right, extensions },
      collapseUnchanged: { margin: 3, minSize: 8 },
    });
    return () => merged.destroy();
  }, [left, right, label]);
  if (left.length + right.length > MOST_DIFF) {
    return (
      <div className="side-by-side">
        <pre className="json">{left}</pre>
        <pre className="json">{right}</pre>
      </div>
    );
  }
  return <div className="editor" ref={place} />;
}
