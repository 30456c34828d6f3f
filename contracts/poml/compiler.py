"""Compiler: a document and what it includes to the tree that is rendered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

from contracts.poml import expression, limits, tags
from contracts.poml.document import XmlElement, XmlText, read
from contracts.poml.expression import PomlExpression
from contracts.poml.fault import IncludeRefused, PomlError, Unfit, outside
from contracts.poml.tree import CompiledTree, InlineUse, Let, Printed, Tag, Turns, Words

#: Reads an include: the name of the file that has it and its ``src`` to the name and the text of the other file.
ReadInclude = Callable[[str, str], tuple[str, str]]

_BRACED: Final = re.compile(r"\s*\{\{(.*)\}\}\s*", re.DOTALL)
_ESCAPES: Final = {
    "#lt;": "<",
    "#gt;": ">",
    "#amp;": "&",
    "#quot;": '"',
    "#apos;": "'",
    "#hash;": "#",
    "#lbrace;": "{",
    "#rbrace;": "}",
}
_NAMES: Final = ", ".join(tags.TAGS)


def compile_tree(
    source: str, *, file: str, first_line: int = 1, include: ReadInclude | None = None
) -> CompiledTree:
    """Compile a document.

    Args:
        source: the POML.
        file: its name, which errors and ``include`` get.
        first_line: line of the file that the source begins at.
        include: reader of other files; none: an include is refused.

    Raises:
        PomlError: it is none of the subset, or too large.
    """
    return _Compiler(include).compile(source, file, first_line)


class _Compiler:
    def __init__(self, include: ReadInclude | None) -> None:
        self._include = include
        self._files: list[str] = []
        self._included: dict[str, str] = {}
        self._size = self._elements = self._depth = 0
        self._names: set[str] = set()
        self._inline: list[InlineUse] = []
        self._schema: dict[str, Any] | None = None
        #: Names with a value, by the loops and documents around.
        self._known: list[set[str]] = [set()]
        self._within: list[str] = []
        #: Those of them that write within a line.
        self._lines: list[str] = []

    def compile(self, source: str, file: str, first_line: int) -> CompiledTree:
        root = self._read(source, file, first_line)
        if root.tag != "poml":
            raise PomlError(file, root.line, outside(f"<{root.tag}> as the root", "write <poml>"))
        self._files.append(file)
        made = self._element(root)
        return CompiledTree(
            root=made,
            names=frozenset(self._names),
            inline=tuple(self._inline),
            schema=self._schema,
            included=self._included,
        )

    @property
    def _file(self) -> str:
        return self._files[-1]

    def _refuse(self, line: int, problem: str) -> NoReturn:
        raise PomlError(self._file, line, problem)

    def _read(self, source: str, file: str, first_line: int = 1) -> XmlElement:
        self._size += len(source)
        if self._size > limits.SOURCE:
            raise PomlError(
                file, first_line, f"has more than {limits.SOURCE:,} characters with its includes; write less"
            )
        return read(source, file=file, first_line=first_line)

    # Elements

    def _element(self, element: XmlElement) -> Tag:
        self._elements += 1
        if self._elements > limits.ELEMENTS:
            self._refuse(
                element.line, f"has more than {limits.ELEMENTS} elements with its includes; write less"
            )
        if len(self._within) >= limits.DEPTH:
            self._refuse(element.line, f"elements are more than {limits.DEPTH} deep with includes; nest less")
        if element.tag not in tags.TAGS:
            self._refuse(element.line, outside(f"<{element.tag}>", f"the tags are {_NAMES}"))
        self._check_place(element)
        attributes = self._attributes(element)
        turns = self._turns(attributes.pop("for", None), element)
        self._known.append({turns.name, "loop"} if turns else set())
        condition = self._expression(attributes.pop("if", None), element.line)
        shown, data = self._evaluated(element, attributes)
        inline = element.tag in tags.INLINE or (element.tag == "code" and attributes.get("inline") != "false")
        self._within.append(element.tag)
        self._lines += [f"<{element.tag}>"] * inline
        content = self._content(element, attributes)
        self._within.pop()
        del self._lines[len(self._lines) - inline :]
        self._known.pop()
        return Tag(element.tag, attributes, shown, data, condition, turns, content, self._file, element.line)

    def _check_place(self, element: XmlElement) -> None:
        tag, around = element.tag, self._within[-1:]
        parent = next((each for each in reversed(self._within) if each != "include"), "")
        if tag == "item" and parent != "list":
            self._refuse(element.line, outside("<item> outside of <list>", "put it directly into a <list>"))
        if (tag == "let" and around not in (["poml"], ["include"])) or (
            tag == "output-schema" and self._within != ["poml"]
        ):
            self._refuse(element.line, outside(f"<{tag}> within <{parent}>", "put it directly into <poml>"))
        if tag == "poml" and self._within:
            self._refuse(element.line, outside("<poml> within a document", "use <p>"))

    def _attributes(self, element: XmlElement) -> dict[str, str]:
        made: dict[str, str] = {}
        for written, value in element.attributes.items():
            try:
                name = tags.attribute_name(element.tag, written)
                tags.check_value(element.tag, name, value)
            except Unfit as error:
                self._refuse(element.line, str(error))
            if name in made:
                self._refuse(element.line, f"the attribute {name} of <{element.tag}> is given twice")
            made[name] = value
        required = tags.REQUIRED.get(element.tag)
        if required and required not in made:
            self._refuse(element.line, f"<{element.tag}> needs the attribute {required}")
        return made

    def _evaluated(
        self, element: XmlElement, attributes: dict[str, str]
    ) -> tuple[dict[str, Words], dict[str, PomlExpression]]:
        """Take the attributes with expressions out of the others, and compile them."""
        shown: dict[str, Words] = {}
        data: dict[str, PomlExpression] = {}
        for name in tuple(attributes):
            takes = tags.TAGS[element.tag][name]
            if takes == tags.SHOWN:
                where = f"{name} of <{element.tag}>"
                shown[name] = self._words(XmlText(attributes.pop(name), element.line), where)
            elif takes == tags.DATA and element.tag != "let":
                found = self._expression(attributes.pop(name), element.line)
                assert found is not None  # noqa: S101 - a value is never empty, check_value
                data[name] = found
                if self._lines:
                    self._inline.append(InlineUse(found, self._lines[-1], self._file, element.line))
        return shown, data

    def _turns(self, written: str | None, element: XmlElement) -> Turns | None:
        if written is None:
            return None
        name, _, items = (
            part.strip() for part in re.sub(r"\s+in\s+", "\0", written, count=1).partition("\0")
        )
        if not items or not expression.is_name(name):
            self._refuse(element.line, outside(f"for={written[:80]!r}", 'write for="x in xs"'))
        return Turns(name, self._compiled(items, element.line))

    # Contents

    def _content(self, element: XmlElement, attributes: dict[str, str]) -> tuple[Words | Tag | Let, ...]:
        match element.tag:
            case "include":
                self._no_content(element)
                return self._of_include(element, attributes["src"])
            case "output-schema":
                self._read_schema(element)
                return ()
            case "table":
                self._no_content(element)
                return ()
            case _:
                return self._children(element)

    def _children(self, element: XmlElement) -> tuple[Words | Tag | Let, ...]:
        made: list[Words | Tag | Let] = []
        for each in element.content:
            if isinstance(each, XmlText):
                made.append(self._words(each, self._lines[-1] if self._lines else ""))
            elif each.tag == "let":
                made.append(self._let(each))
            else:
                made.append(self._element(each))
        return tuple(made)

    def _no_content(self, element: XmlElement) -> None:
        for each in element.content:
            if isinstance(each, XmlElement) or each.text.strip():
                self._refuse(each.line, outside(f"content of <{element.tag}>", "leave it empty"))

    def _words(self, text: XmlText, where: str = "") -> Words:
        """A text with its expressions; ``where``: it is within a line."""
        parts: list[str | Printed] = []
        line, at = text.line, 0
        while (begin := text.text.find("{{", at)) >= 0:
            end = _end(text.text, begin)
            line = text.line + text.text.count("\n", 0, begin)
            inner = text.text[begin + 2 : end].strip()
            if end < 0 or "\n" in inner or not inner:
                self._refuse(
                    line, outside("{{ without an expression and }} on the same line", "write #lbrace; for {")
                )
            parts += [_unescape(text.text[at:begin])] * (begin > at)
            found = self._compiled(inner, line)
            parts.append(Printed(found, line))
            if where:
                self._inline.append(InlineUse(found, where, self._file, line))
            at = end + 2
        parts += [_unescape(text.text[at:])] * (at < len(text.text))
        used = [each for each in parts if not isinstance(each, str)]
        alone = len(used) == 1 and not any(isinstance(each, str) and each.strip() for each in parts)
        return Words(tuple(used if alone else parts), alone, self._file)

    def _let(self, element: XmlElement) -> Let:
        self._check_place(element)
        attributes = self._attributes(element)
        name, value = attributes["name"], attributes.get("value")
        if not expression.is_name(name):
            self._refuse(element.line, outside(f"the name {name!r}", "use letters, digits and _"))
        if any(isinstance(each, XmlElement) for each in element.content):
            self._refuse(element.line, outside("an element within <let>"))
        text = " ".join(each.text for each in element.content if isinstance(each, XmlText))
        if (value is None) is not bool(text.strip()) or (value is not None and "type" in attributes):
            self._refuse(element.line, outside("this <let>", "give it either a value or a content"))
        if value is not None:
            made = self._expression(value, element.line)
            assert made is not None  # noqa: S101 - a value is never empty, check_value
        else:
            constant = self._constant(text, attributes.get("type"), element.line)
            made = PomlExpression(lambda _: constant)
        self._known[0].add(name)
        return Let(name, made, self._file, element.line)

    def _constant(self, text: str, kind: str | None, line: int) -> Any:
        """Content of a ``<let>``: a text, or JSON that is of the type if one is named."""
        if kind == "string":
            return text
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            self._refuse(line, outside("content of <let> that is no JSON", 'write JSON, or type="string"'))
        if not _is_of(kind, value):
            named = f"is not of type {kind}" if kind else "is no list or object; name its type"
            self._refuse(line, f"the content of <let> {named}")
        return value

    def _read_schema(self, element: XmlElement) -> None:
        if self._schema is not None:
            self._refuse(element.line, "there is more than one <output-schema>; leave one")
        if any(isinstance(each, XmlElement) for each in element.content):
            self._refuse(element.line, outside("an element within <output-schema>", "write JSON"))
        text = "".join(each.text for each in element.content if isinstance(each, XmlText))
        if "{{" in text:
            self._refuse(element.line, outside("an expression in <output-schema>", "write JSON"))
        try:
            schema = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            schema = None
        if not isinstance(schema, dict):
            self._refuse(
                element.line, outside("an <output-schema> that is no JSON object", "write a JSON Schema")
            )
        self._schema = cast("dict[str, Any]", schema)

    def _of_include(self, element: XmlElement, src: str) -> tuple[Words | Tag | Let, ...]:
        if self._include is None:
            self._refuse(
                element.line, outside("<include> without a folder", "put the text into the document")
            )
        try:
            file, text = self._include(self._file, src)
        except IncludeRefused as error:
            self._refuse(element.line, str(error))
        if file in self._files:
            self._refuse(element.line, f"<include> goes round: {' -> '.join((*self._files, file))}")
        if len(self._files) > limits.INCLUDES:
            self._refuse(element.line, f"includes are more than {limits.INCLUDES} deep; nest less")
        root = self._read(text, file)
        self._included[file] = text
        self._files.append(file)
        shared, self._known[0] = self._known[0], set(self._known[0])
        within = self._within
        if root.tag == "poml":
            if root.attributes:
                self._refuse(
                    root.line, outside("an attribute of an included <poml>", "put it on the include")
                )
            made = self._children(root)
        else:
            made = (self._element(root),)
        self._within, self._known[0] = within, shared
        self._files.pop()
        return made

    # Expressions

    def _expression(self, written: str | None, line: int) -> PomlExpression | None:
        """An expression that may stand in braces."""
        if written is None:
            return None
        braced = _BRACED.fullmatch(written)
        return self._compiled(braced[1] if braced else written, line)

    def _compiled(self, text: str, line: int) -> PomlExpression:
        try:
            made = expression.parse(text.strip())
        except Unfit as error:
            self._refuse(line, str(error))
        self._names |= made.names.difference(*self._known)
        return made


def _end(text: str, begin: int) -> int:
    """Where the braces close that open at ``begin``; -1: nowhere."""
    end = text.find("}}", begin + 3)
    while end >= 0 and text.startswith("}", end + 2):
        end += 1
    return end


def _unescape(text: str) -> str:
    for written, meant in _ESCAPES.items():
        text = text.replace(written, meant)
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_of(kind: str | None, value: Any) -> bool:
    types: dict[str | None, type | tuple[type, ...]] = {
        None: (list, dict),
        "integer": int,
        "float": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    return isinstance(value, types[kind]) and (kind == "boolean" or not isinstance(value, bool))
