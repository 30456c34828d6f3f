"""Reader of POML's XML: elements and texts with their lines; all else that XML has is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers import expat

from contracts.poml import limits
from contracts.poml.fault import PomlError, outside

#: Stands for an ampersand while expat reads, so that there are no references that it could expand.
_AMPERSAND: Final = "\ue0ff"
_REFERENCE: Final = re.compile(rf"{_AMPERSAND}#?\w+;")

#: What XML has and a document may not have, by expat's handler for it.
_REFUSED: Final = {
    "StartDoctypeDeclHandler": ("a DTD (<!DOCTYPE>)", "leave it out"),
    "EntityDeclHandler": ("an entity declaration", "leave it out"),
    "ProcessingInstructionHandler": ("a processing instruction (<?...?>)", "leave it out"),
    "XmlDeclHandler": ("an XML declaration (<?xml?>)", "begin with <poml>"),
    "StartCdataSectionHandler": ("CDATA", "write #lt; for <, #amp; for &"),
}


@dataclass(slots=True)
class XmlText:
    """Characters between two tags or comments."""

    text: str
    line: int


@dataclass(slots=True)
class XmlElement:
    """An element; attributes have their names as written."""

    tag: str
    attributes: dict[str, str]
    line: int
    content: list[XmlElement | XmlText] = field(default_factory=list["XmlElement | XmlText"])


def read(text: str, *, file: str, first_line: int = 1) -> XmlElement:
    """Read a document and return its root.

    Args:
        text: the XML.
        file: its name in errors.
        first_line: line of the file that the text begins at.

    Raises:
        PomlError: it is no well-formed XML, or has a DTD, an entity, a processing instruction or CDATA.
    """
    return _Reader(file, first_line).read(text)


class _Reader:
    def __init__(self, file: str, first_line: int) -> None:
        self._file, self._offset = file, first_line - 1
        self._open: list[XmlElement] = []
        self._root: XmlElement | None = None
        self._pending: list[str] = []
        self._pending_line = 0
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment
        for handler, (what, hint) in _REFUSED.items():
            setattr(parser, handler, self._refusal(what, hint))
        self._parser = parser

    def read(self, text: str) -> XmlElement:
        if _AMPERSAND in text:
            raise PomlError(self._file, 1 + self._offset, outside("the character U+E0FF"))
        try:
            self._parser.Parse(text.replace("&", _AMPERSAND).encode(), True)  # noqa: FBT003 - expat's
        except expat.ExpatError as error:
            invalid = error.code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
            hint = "; write #lt; for < in a text, and a < b as b > a" if invalid else ""
            raise PomlError(
                self._file,
                error.lineno + self._offset,
                f"is no well-formed XML: {expat.ErrorString(error.code)}{hint}",
            ) from None
        except UnicodeEncodeError:
            raise PomlError(self._file, 1 + self._offset, "has an unpaired surrogate; remove it") from None
        if self._root is None:  # pragma: no cover - expat refuses a document without an element
            self._refuse("a document without an element")
        return self._root

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber + self._offset

    def _refuse(self, what: str, hint: str = "") -> NoReturn:
        raise PomlError(self._file, self._line, outside(what, hint))

    def _refusal(self, what: str, hint: str) -> Callable[..., NoReturn]:
        def refuse(*_: object) -> NoReturn:
            self._refuse(what, hint)

        return refuse

    def _comment(self, _: str) -> None:
        self._flush()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._flush()
        if len(self._open) >= limits.DEPTH:
            raise PomlError(self._file, self._line, f"elements are more than {limits.DEPTH} deep; nest less")
        for name, value in attributes.items():
            if _REFERENCE.search(value):
                self._refuse(f"an entity in {name}", "write #amp; for &")
        plain = {name: value.replace(_AMPERSAND, "&") for name, value in attributes.items()}
        element = XmlElement(tag, plain, self._line)
        if self._open:
            self._open[-1].content.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._flush()
        self._open.pop()

    def _characters(self, text: str) -> None:
        if _AMPERSAND in text:
            self._refuse("& in a text, and any entity", "write #amp; for &, #lt; for <")
        if not self._pending:
            self._pending_line = self._line
        self._pending.append(text)

    def _flush(self) -> None:
        if self._pending and self._open:
            self._open[-1].content.append(XmlText("".join(self._pending), self._pending_line))
        self._pending.clear()
