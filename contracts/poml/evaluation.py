"""Evaluation: a compiled document and values to parts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from contracts.poml import tables, tags, values
from contracts.poml.expression import Allowance, PomlScope
from contracts.poml.fault import PomlError, Unfit, outside
from contracts.poml.parts import Foreign, Part, trimmed
from contracts.poml.tree import Let, Printed, Tag, Words
from contracts.poml.values import Verbatim

#: Mark around the number of a foreign text; XML cannot contain it.
MARK: Final = "\0"
#: What is printed of a value: a text of the line, a foreign text, or nothing.
Printer = Callable[[Any, Allowance], str | Foreign | None]
#: What an attribute's text may consist of.
_CAPTIONS: Final = {
    "role": "Role",
    "task": "Task",
    "output-format": "Output Format",
    "hint": "Hint",
    "examples": "Examples",
    "example": "Example",
    "input": "Input",
    "output": "Output",
}
_Content = list[str | Part]


class PrintedJson(str):
    """A list or an object in JSON."""

    __slots__ = ()


def print_plain(value: Any, allowance: Allowance) -> str | None:
    """Print a value as POML does: null, true and false are nothing, lists and objects are JSON."""
    match value:
        case None | bool() | values.Undefined():
            return None
        case str():
            return value
        case int() | float():
            return Verbatim(values.number(value))
        case _:
            return PrintedJson(values.to_json(value, allowance))


@contextmanager
def _placed(file: str, line: int) -> Generator[None]:
    """Gives a fault within its place."""
    try:
        yield
    except Unfit as error:
        raise PomlError(file, line, str(error)) from None


@dataclass(frozen=True, slots=True)
class _Around:
    """What elements take from those around them."""

    level: int = 1
    chat: bool = True


class Evaluation:
    """One rendering."""

    def __init__(self, printer: Printer, quote: Callable[[str], str] | None) -> None:
        self._print, self._quote = printer, quote
        self.allowance = Allowance()
        #: Foreign texts, by their numbers.
        self.foreign: list[str] = []

    def run(self, root: Tag, given: Mapping[str, Any]) -> Part:
        """Parts of a document.

        Raises:
            PomlError: the values do not fit it, or it makes too much of them.
        """
        content = self._tag(root, PomlScope(dict(given), self.allowance), _Around())
        return Part("env", trimmed(content))

    # Contents

    def _content(self, nodes: Sequence[Words | Tag | Let], scope: PomlScope, around: _Around) -> _Content:
        made: _Content = []
        for each in nodes:
            match each:
                case Words():
                    made += self._words(each, scope)
                case Let():
                    with _placed(each.file, each.line):
                        self.allowance.step()
                        scope.shared[each.name] = each.value.evaluate(scope)
                case Tag():
                    made += self._tag(each, scope, around)
        return made

    def _words(self, words: Words, scope: PomlScope) -> _Content:
        pieces = self._pieces(words, scope)
        if not words.alone and all(isinstance(each, str) for each in pieces):
            return ["".join(cast("list[str]", pieces))]
        return [each for each in pieces if each is not None]

    def _pieces(self, words: Words, scope: PomlScope) -> list[str | Part | None]:
        """What each part of a text prints."""
        pieces: list[str | Part | None] = []
        line = 0
        for part in words.parts:
            line = part.line if isinstance(part, Printed) else line
            with _placed(words.file, line):
                self.allowance.step()
                if isinstance(part, Printed):
                    value = part.expression.evaluate(scope)
                    pieces.append(self._shown(self._print(value, self.allowance)))
                else:
                    self.allowance.characters(len(part))
                    pieces.append(part)
        return pieces

    def _shown(self, shown: str | Foreign | None) -> str | Part | None:
        if isinstance(shown, Foreign):
            self.allowance.characters(len(shown.text))
            self.foreign.append(shown.text)
            return Part("foreign", option=len(self.foreign) - 1)
        if shown is not None:
            self.allowance.characters(len(shown))
            if self._quote and MARK in shown:
                raise Unfit("a printed word has the character U+0000; remove it")
        return shown

    def _attribute(self, words: Words, scope: PomlScope) -> str:
        pieces = self._pieces(words, scope)
        if not all(isinstance(each, str) and not isinstance(each, PrintedJson) for each in pieces):
            raise Unfit("an attribute prints a value that is neither a text of its line nor a number")
        return "".join(cast("list[str]", pieces))

    # Elements

    def _tag(self, tag: Tag, scope: PomlScope, around: _Around) -> _Content:
        made: _Content = []
        with _placed(tag.file, tag.line):
            for turn in self._turns(tag, scope):
                self.allowance.step()
                if tag.condition is None or values.truth(tag.condition.evaluate(turn)):
                    made += self._once(tag, turn, around)
        return made

    def _turns(self, tag: Tag, scope: PomlScope) -> Sequence[PomlScope]:
        if tag.turns is None:
            return (scope,)
        items = tag.turns.items.evaluate(scope)
        if not isinstance(items, list | tuple):
            raise Unfit(f"for needs a list, not {values.kind(items)}")
        found = cast("list[Any]", items)
        self.allowance.step(len(found))
        count = len(found)
        loops = (
            {"index": index, "length": count, "first": index == 0, "last": index == count - 1}
            for index in range(count)
        )
        return [
            scope.within({"loop": loop, tag.turns.name: each})
            for loop, each in zip(loops, found, strict=True)
        ]

    def _once(self, tag: Tag, scope: PomlScope, around: _Around) -> _Content:
        match tag.name:
            case "include":
                inner = replace(scope, shared={**scope.shared, **scope.local}, local={})
                return self._content(tag.content, inner, around)
            case "output-schema":
                return []
            case "table":
                return [self._table(tag, scope)]
            case name if name in _CAPTIONS or name == "cp":
                return [self._captioned(tag, scope, around)]
            case _:
                return [self._simple(tag, self._content(tag.content, scope, around))]

    def _simple(self, tag: Tag, content: _Content) -> Part:
        spaces = tag.attributes.get("whiteSpace", "filter")
        inner = trimmed(content, spaces)
        match tag.name:
            case "poml" | "system-msg" | "human-msg" | "ai-msg":
                return Part("p", inner, speaker=tags.SPEAKERS.get(tag.name, ""), blank=False)
            case "p":
                return Part("p", inner, blank=tag.attributes.get("blankLine") != "false")
            case "code" if tag.attributes.get("inline") == "false":
                return Part("fence", inner, option=tag.attributes.get("lang", ""))
            case "list":
                return Part("list", inner, option=tag.attributes.get("listStyle", "dash"))
            case _:
                self._no_foreign(tag, inner)
                return Part(tag.name, inner)

    def _no_foreign(self, tag: Tag, content: Sequence[str | Part]) -> None:
        inside = tag.name in (*tags.INLINE, "code")
        if inside and any(isinstance(each, Part) and each.kind == "foreign" for each in content):
            raise Unfit(f"<{tag.name}> prints a text of others, which needs a block; print it outside")

    # Captions

    def _captioned(self, tag: Tag, scope: PomlScope, around: _Around) -> Part:
        inner, chat = around, tag.attributes.get("chat")
        if chat is not None or tag.name == "examples":
            inner = replace(inner, chat=chat != "false")
        speaker, style = self._spoken(tag, around)
        if style == "header":
            inner = replace(inner, level=inner.level + 1)
        content = trimmed(self._content(tag.content, scope, inner))
        if "introducer" in tag.shown:
            introducer = Part("p", trimmed([self._attribute(tag.shown["introducer"], scope)]))
            content = trimmed([introducer, *content])
        if style == "hidden":
            return Part("p", content, speaker=speaker)
        caption = self._caption(tag, scope, style, around, speaker, spaced=bool(content))
        below: _Content = [Part("p", content)] if style == "header" else content
        return Part("p", trimmed([*caption, *below]), speaker=speaker)

    def _spoken(self, tag: Tag, around: _Around) -> tuple[str, str]:
        """Speaker and caption style: those of examples depend on whether they are messages."""
        style = tag.attributes.get("captionStyle")
        if tag.name not in ("input", "output"):
            return "", style or {"hint": "bold", "example": "hidden"}.get(tag.name, "header")
        if not around.chat:
            return "", style or "bold"
        return ("human" if tag.name == "input" else "ai"), style or "hidden"

    def _caption(
        self, tag: Tag, scope: PomlScope, style: str, around: _Around, speaker: str, *, spaced: bool
    ) -> _Content:
        text = self._attribute(tag.shown["caption"], scope) if "caption" in tag.shown else _CAPTIONS[tag.name]
        match tag.attributes.get("captionTextTransform"):
            case "upper":
                text = text.upper()
            case "capitalize":
                text = text[:1].upper() + text[1:]
            case _:
                pass
        ending = tag.attributes.get("captionEnding", "none" if style == "header" else "colon")
        content = [f"{text}:" if "colon" in ending else text]
        if style == "header":
            return [Part("h", content, speaker=speaker, option=around.level)]
        made = Part("b", content, speaker=speaker) if style == "bold" else Part("span", content)
        if not spaced:
            return [made]
        return [made, Part("nl") if "newline" in ending else " "]

    # Tables

    def _table(self, tag: Tag, scope: PomlScope) -> Part:
        records = tag.data["records"].evaluate(scope)
        columns = tag.data["columns"].evaluate(scope) if "columns" in tag.data else None
        rows = [[self._cell(each) for each in row] for row in tables.rows(records, columns, self.allowance)]
        text = tables.write(rows, self.allowance)
        if self._quote and any(each.names for each in tag.data.values()):
            shown = self._shown(Foreign(self._quote(text)))
            assert isinstance(shown, Part)  # noqa: S101 - what a foreign text is
            return shown
        return Part("table", [text])

    def _cell(self, value: Any) -> str:
        if isinstance(value, list | tuple | Mapping):
            raise Unfit(outside(f"{values.kind(value)} in a cell", "use texts and numbers"))
        shown = print_plain(value, self.allowance) or ""
        self.allowance.characters(len(shown))
        return str(next(iter(trimmed([shown])), ""))
