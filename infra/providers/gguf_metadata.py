"""Metadata of a GGUF file: name, licence and window of its model, and whether the file is whole.

Source: the GGUF specification of ggml, versions 2 and 3 (little-endian).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from typing import BinaryIO

_MAGIC: Final = b"GGUF"
#: Format of a value by its type; strings (8) and arrays (9) have a length before them.
_FORMATS: Final = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9
#: Longest string and most entries that a header can have; a damaged file has any number.
_LONGEST: Final = 16 * 1024**2
_MOST: Final = 10_000_000
_ALIGNMENT: Final = "general.alignment"


class GgufMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says; ``None`` where it says nothing."""

    title: str | None = None
    licence: str | None = None
    #: Tokens that the model was made for.
    window: int | None = None
    #: Why the file cannot be used.
    problem: str | None = None


def read_metadata(file: Path) -> GgufMetadata:
    """Read the header of a file; what is wrong with it is in ``problem``."""
    try:
        with file.open("rb") as opened:
            return _read(opened, file.stat().st_size)
    except OSError as error:
        return GgufMetadata(problem=f"{file} cannot be read: {error.strerror}")
    except (struct.error, ValueError) as error:
        return GgufMetadata(problem=f"{file} is no whole GGUF file ({error}); get it again")


def _read(opened: BinaryIO, size: int) -> GgufMetadata:
    if opened.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it begins with other bytes")
    version, tensors, pairs = _unpack(opened, "IQQ")
    if version not in (2, 3):
        raise ValueError(f"its version {version} is not supported")
    found: dict[str, Any] = {}
    for _ in range(_bounded(pairs, _MOST)):
        key = _string(opened)
        (kind,) = _unpack(opened, "I")
        found[key] = _value(opened, kind)
    end = max((_offset(opened) for _ in range(_bounded(tensors, _MOST))), default=-1)
    alignment = found.get(_ALIGNMENT, 32)
    begin = -(-opened.tell() // alignment) * alignment
    if begin + end >= size:
        raise ValueError(f"it has {size:,} bytes, and its tensors begin up to byte {begin + end:,}")
    window = found.get(f"{found.get('general.architecture')}.context_length")
    return GgufMetadata(
        title=_text(found.get("general.name")),
        licence=_text(found.get("general.license")),
        window=window if isinstance(window, int) else None,
    )


def _offset(opened: BinaryIO) -> int:
    """Where a tensor begins, bytes from the first one."""
    _string(opened)
    (dimensions,) = _unpack(opened, "I")
    opened.seek(8 * _bounded(dimensions, 8) + 4, 1)
    (offset,) = _unpack(opened, "Q")
    return int(offset)


def _value(opened: BinaryIO, kind: int) -> Any:
    """A value; an array is passed over."""
    if kind == _STRING:
        return _string(opened)
    if kind != _ARRAY:
        if kind not in _FORMATS:
            raise ValueError(f"a value has the unknown type {kind}")
        return _unpack(opened, _FORMATS[kind])[0]
    inner, count = _unpack(opened, "IQ")
    if inner in _FORMATS:
        opened.seek(struct.calcsize(f"<{_FORMATS[inner]}") * _bounded(count, _MOST), 1)
        return None
    for _ in range(_bounded(count, _MOST)):
        _value(opened, inner)
    return None


def _string(opened: BinaryIO) -> str:
    (length,) = _unpack(opened, "Q")
    raw = opened.read(_bounded(length, _LONGEST))
    if len(raw) < length:
        raise ValueError("it ends in its header")
    return raw.decode("utf-8", "replace")


def _unpack(opened: BinaryIO, form: str) -> tuple[Any, ...]:
    layout = struct.Struct(f"<{form}")
    raw = opened.read(layout.size)
    if len(raw) < layout.size:
        raise ValueError("it ends in its header")
    return layout.unpack(raw)


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise ValueError(f"its header names {count} where at most {most} are possible")
    return count


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
