"""Lenient reading of documents: whatever a field holds, a drawing goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from infra.pictures import svg


class DocumentField:
    """A value of a document and its JSON pointer.

    Args:
        value: a JSON value.
        pointer: where it is in the document.
    """

    __slots__ = ("pointer", "value")

    def __init__(self, value: Any, pointer: str = "") -> None:
        self.value = value
        self.pointer = pointer

    def __getitem__(self, name: str | int) -> DocumentField:
        """The field of an object or the item of a list; one without a value if there is none."""
        found: Any = None
        if isinstance(name, str):
            if isinstance(self.value, Mapping):
                found = cast("Mapping[str, Any]", self.value).get(name)
        elif isinstance(self.value, Sequence) and not isinstance(self.value, str | bytes):
            listed = cast("Sequence[Any]", self.value)
            found = listed[name] if -len(listed) <= name < len(listed) else None
        return DocumentField(found, f"{self.pointer}/{escape_pointer(name)}")

    def __bool__(self) -> bool:
        """Whether there is anything to draw."""
        return self.value is not None and self.value not in ("", [], {}, ())

    def __len__(self) -> int:
        """Number of items of a list, or of names of an object."""
        return len(self.value) if isinstance(self.value, list | tuple | Mapping) else 0

    def items(self, most: int) -> Iterator[DocumentField]:
        """The first items of a list."""
        if isinstance(self.value, list | tuple):
            for index in range(min(len(self), most)):
                yield self[index]

    @property
    def text(self) -> str:
        """Its text; of a number, what it reads as; of anything else, nothing."""
        if isinstance(self.value, str):
            return self.value
        return "" if svg.finite(self.value) is None else svg.json_text(self.value)

    @property
    def number(self) -> float | None:
        """Its number, if it is a finite one."""
        return svg.finite(self.value)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.value, list | tuple)

    @property
    def is_object(self) -> bool:
        """Whether it is an object."""
        return isinstance(self.value, Mapping)


def escape_pointer(name: str | int) -> str:
    """A reference token of a JSON pointer, RFC 6901."""
    return str(name).replace("~", "~0").replace("/", "~1")
