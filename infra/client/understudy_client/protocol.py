"""Subjects, headers and ids of the pipeline's wire, as a client needs them."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from understudy_client.errors import InvalidRequest

REQUESTS: Final = "REQUESTS"
EVENTS: Final = "EVENTS"
#: The stream behind the object store of large content, and the store's name.
ASSETS: Final = "OBJ_assets"
ASSETS_BUCKET: Final = "assets"

#: The kinds that every pipeline has; one may have others of its own.
KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")
#: A request id that the pipeline accepts.
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_:@-]{1,64}")
#: An id that a result can have: also that of a request which was rejected for its id.
_NAMEABLE: Final = re.compile(r"(?![*>]$)[!-\-/-~]{1,255}")
_KIND: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Largest request body, bytes.
MAX_BODY: Final = 256 * 1024

EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
TRACEPARENT: Final = "traceparent"
#: Marks a message that was stored as an answer of the broker to a read: a reply subject needs no permission.
ANSWERED: Final = "Understudy-Answered"
#: The header of an event that a broker's schedule published; no result is one.
SCHEDULER: Final = "Nats-Scheduler"
_READ_FROM: Final = b"\r\nNats-Stream:"
#: An id of zeros is invalid (W3C Trace Context, 3.2.2).
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_twice_read(block: bytes) -> bool:
    """Whether a direct get's header block has the headers of another one: what was read was stored as an answer."""
    return block.count(_READ_FROM) > 1


def new_id() -> str:
    """A fresh request id: a UUIDv7 (RFC 9562), so that ids sort by time, to a quarter of a microsecond."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    # Method 3 of section 6.2: the fraction of the millisecond takes the place of random bits.
    fraction = (rest << 12) // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def subject(event: str, kind: str, request_id: str) -> str:
    """The subject of one event of one request."""
    return f"gen.{event}.{kind}.{request_id}"


def any_kind(event: str, request_id: str) -> str:
    """One event of one request, whatever its kind."""
    return f"gen.{event}.*.{request_id}"


def answer(request_id: str) -> str:
    """The event that is a request's result: results of shadows, reruns for comparison, have a subject of their own."""
    return "shadowed" if request_id.startswith("sh-") else "result"


def any_answer(request_id: str) -> str:
    """The subject of a request's result, whatever its kind."""
    return any_kind(answer(request_id), request_id)


def kind_of(message_subject: str) -> str:
    """The kind in a subject ``gen.<event>.<kind>.<request_id>``."""
    return message_subject.split(".")[2]


def check_id(request_id: str, *, rejected: bool = False) -> None:
    """Refuse what cannot be a request id.

    Args:
        request_id: the id.
        rejected: an id is also good that only a rejected request can have.

    Raises:
        InvalidRequest: the id might match other requests' subjects, or none.
    """
    if (_NAMEABLE if rejected else REQUEST_ID).fullmatch(request_id) is None:
        raise InvalidRequest("id", f"{request_id!r} must match {REQUEST_ID.pattern}")


def check_kind(kind: str) -> None:
    """Refuse what cannot be a kind; the broker knows which kinds there are.

    Raises:
        InvalidRequest: it is no part of a subject.
    """
    if _KIND.fullmatch(kind) is None:
        raise InvalidRequest("kind", f"{kind!r} must match {_KIND.pattern}")


def compose(prompt: str | None, fields: Mapping[str, Any], body: bytes | None) -> bytes:
    """A request's body: the given one, or one of prompt and fields, without those that are ``None``.

    Raises:
        InvalidRequest: both are given.
    """
    said = {name: value for name, value in {"prompt": prompt, **fields}.items() if value is not None}
    if body is None:
        return msgspec.json.encode(said)
    if said:
        names = ", ".join(said)
        raise InvalidRequest("body", f"is the whole request: put {names} into it, or leave body out")
    return body


def check_body(body: bytes) -> None:
    """Refuse a body that no pipeline accepts; the pipeline checks its fields.

    Raises:
        InvalidRequest: it is not a JSON object, or too large.
    """
    if len(body) > MAX_BODY:
        raise InvalidRequest("body", f"has {len(body)} bytes; at most {MAX_BODY} are accepted")
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest("body", f"is not a JSON object: {error}") from None


def headers(
    event: str, *, kind: str, request_id: str, body: bytes, parent: str | None = None
) -> dict[str, str]:
    """The headers of a client's message: CloudEvents 1.0 in binary mode, and a trace.

    Args:
        event: ``requested`` or ``cancelled``.
        kind: content kind.
        request_id: the request.
        body: the message's body; its hash tells two requests of one id apart.
        parent: ``traceparent`` of the message that this one follows.
    """
    digest = hashlib.sha256(f"{kind}\n".encode() + body).hexdigest()[:16]
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "ce-specversion": "1.0",
        "ce-id": f"{request_id}:0:client:{event}:{digest if event == 'requested' else 1}",
        "ce-type": f"dev.understudy.gen.{event}.v1",
        "ce-source": "understudy/client",
        "ce-subject": f"{kind}/{request_id}",
        "ce-time": now,
        "ce-datacontenttype": "application/json",
        TRACEPARENT: child_of(parent),
    }


def trace_id(message_headers: Mapping[str, str]) -> str | None:
    """The trace id in a message's headers; ``None`` where there is no valid one."""
    found = _TRACEPARENT.fullmatch(message_headers.get(TRACEPARENT, ""))
    return found and found[1]


def child_of(parent: str | None) -> str:
    """A new span in the trace of ``parent``, or a new trace (W3C Trace Context)."""
    span = f"{random.getrandbits(64) or 1:016x}"
    found = _TRACEPARENT.fullmatch(parent or "")
    trace = found[1] if found else f"{random.getrandbits(128) or 1:032x}"
    flags = parent[-2:] if found and parent else "01"
    return f"00-{trace}-{span}-{flags}"
