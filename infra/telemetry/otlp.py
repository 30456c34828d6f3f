"""OTLP encoding: spans as protobuf bytes, written field by field.

Field numbers are those of opentelemetry-proto 1.x, ``trace/v1/trace.proto`` and ``common/v1/common.proto``.  The SDK's
encoder makes an object for each attribute, which costs some ten times as much; a test compares what both come to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

#: What an attribute may be.
Value = str | bool | int | float | Sequence[str]
#: Attributes; one that is ``None`` is left out.
Attributes = Mapping[str, Value | None]

#: Numbers of the kinds of spans.
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5

_INT64: Final = (1 << 64) - 1
_SEVEN_BITS: Final = 0x7F
#: ``flags`` say whether the parent is in another process; bits 8 and 9.
_REMOTE_KNOWN: Final = 0x100
_REMOTE: Final = 0x200
#: Tags: field number and wire type.
_FIXED64_AT_7, _FIXED64_AT_8 = 0x39, 0x41
_TIMES: Final = struct.Struct("<BQBQ")
#: Length and tag of the ids, which have a fixed length.
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
#: ``flags`` of a span (field 16) and of a link (field 6).
_SPAN_FLAGS: Final = {
    remote: b"\x85\x01" + struct.pack("<I", _REMOTE_KNOWN | (_REMOTE if remote else 0))
    for remote in (False, True)
}
_LINK_FLAGS: Final = b"\x35" + struct.pack("<I", _REMOTE_KNOWN | _REMOTE)
#: ``status`` (field 15) with code ``ERROR`` (2), and an empty one.
_FAILED: Final = b"\x7a\x02\x18\x02"
_UNSET: Final = b"\x7a\x00"


def encode_length(length: int) -> bytes:
    """A number that is not negative as a varint."""
    if length <= _SEVEN_BITS:
        return bytes((length,))
    found = bytearray()
    while length > _SEVEN_BITS:
        found.append(length & _SEVEN_BITS | 0x80)
        length >>= 7
    found.append(length)
    return bytes(found)


def encode_field(number: int, content: bytes) -> bytes:
    """A field with a length: text, bytes or a message.

    Args:
        number: of the field, at most 15.
        content: of the field.
    """
    return bytes((number << 3 | 2,)) + encode_length(len(content)) + content


def encode_text(number: int, text: str) -> bytes:
    """A field of text; half a surrogate pair becomes a question mark."""
    return encode_field(number, text.encode(errors="replace"))


def encode_attributes(attributes: Attributes, *, number: int) -> bytes:
    """Attributes, each as a field.

    Args:
        attributes: by name.
        number: of the field that holds them.
    """
    return b"".join(
        encode_field(number, encode_text(1, name) + encode_field(2, _encode_value(value)))
        for name, value in attributes.items()
        if value is not None
    )


def _encode_value(value: Value) -> bytes:
    if isinstance(value, str):
        return encode_text(1, value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + encode_length(value & _INT64)
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value)
    return encode_field(5, b"".join(encode_field(1, encode_text(1, each)) for each in value))


def encode_head(name: str, kind: int) -> bytes:
    """Name and kind of a span."""
    return encode_text(5, name) + bytes((6 << 3, kind))


def encode_link(traceparent: str, attributes: bytes) -> bytes:
    """A link to a span in another process.

    Args:
        traceparent: of that span.
        attributes: of the link, encoded as field 4.
    """
    ids = _TRACE_ID + bytes.fromhex(traceparent[3:35]) + _SPAN_ID + bytes.fromhex(traceparent[36:52])
    return encode_field(13, ids + attributes + _LINK_FLAGS)


def encode_span(  # noqa: PLR0913 - what a span has
    trace_id: bytes,
    span_id: bytes,
    *,
    parent_id: bytes | None,
    remote: bool = False,
    head: bytes,
    began_ns: int,
    ended_ns: int,
    attributes: bytes,
    links: bytes = b"",
    failed: bool = False,
) -> bytes:
    """A span as a field of its scope.

    Args:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent_id: 8 bytes; ``None``: it has no parent.
        remote: the parent is in another process.
        head: from :func:`encode_head`.
        began_ns: ns since the epoch.
        ended_ns: the same.
        attributes: encoded as field 9.
        links: from :func:`encode_link`.
        failed: its status is an error.
    """
    content = b"".join(
        (
            _TRACE_ID,
            trace_id,
            _SPAN_ID,
            span_id,
            b"" if parent_id is None else _PARENT_ID + parent_id,
            head,
            _TIMES.pack(_FIXED64_AT_7, began_ns, _FIXED64_AT_8, max(began_ns, ended_ns)),
            attributes,
            links,
            _FAILED if failed else _UNSET,
            _SPAN_FLAGS[remote and parent_id is not None],
        )
    )
    return encode_field(2, content)


class RequestEncoder:
    """Encodes requests to a collector.

    Args:
        resource: attributes of the process.
        scope: name and version of what makes the spans.
        schema_url: of the attributes' names.
    """

    def __init__(self, *, resource: Attributes, scope: tuple[str, str], schema_url: str) -> None:
        name, version = scope
        self._resource = encode_field(1, encode_attributes(resource, number=1))
        self._scope = encode_field(1, encode_text(1, name) + encode_text(2, version))
        self._schema_url = encode_text(3, schema_url)

    def encode(self, spans: Iterable[bytes]) -> bytes:
        """An ``ExportTraceServiceRequest``.

        Args:
            spans: from :func:`encode_span`.
        """
        scope_spans = encode_field(2, b"".join((self._scope, *spans, self._schema_url)))
        return encode_field(1, self._resource + scope_spans + self._schema_url)
