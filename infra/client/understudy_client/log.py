"""Reads of the event log by direct gets (ADR-31 of NATS): a reader needs no consumer, and no right to create one."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from understudy_client import protocol
from understudy_client.errors import NotSetUp, Unavailable

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from understudy_client.calls import Calls
    from understudy_client.result import ContentRef

#: Messages and bytes in one answer of the broker.
_BATCH: Final = 256
_BATCH_BYTES: Final = 8 * 1024**2
#: Statuses of an answer that has nothing: not found, and the end of several.
_NOTHING: Final = frozenset({"404", "204"})


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message as a stream keeps it."""

    sequence: int
    subject: str
    #: Broker's timestamp, nanoseconds since the epoch.
    time_ns: int
    headers: dict[str, str]
    body: bytes

    @property
    def time_ms(self) -> int:
        """Broker's timestamp, milliseconds since the epoch."""
        return self.time_ns // 1_000_000


class _ObjectInfo(msgspec.Struct, frozen=True):
    """What NATS' object store notes of an object (ADR-20 of NATS)."""

    nuid: str = ""
    deleted: bool = False


async def last(calls: Calls, stream: str, subject: str) -> StoredMessage | None:
    """The last message on a subject, wildcards allowed; ``None``: there is none.

    The broker checks the subject against the client's permissions: a client can ask for nothing else this way.

    Raises:
        NotSetUp: the stream does not exist, or does not allow direct gets.
        Unavailable: the broker does not answer.
        AccessDenied: the broker does not let this user ask.
    """
    answer = await calls.call(f"$JS.API.DIRECT.GET.{stream}.{subject}")
    stored = _stored(answer)
    if stored is None:
        _check_end(answer, stream)
    return stored


async def fetch_object(calls: Calls, ref: ContentRef) -> bytes:
    """The bytes of large content.

    Raises:
        Unavailable: the broker does not answer, or the object is gone or damaged.
    """
    name = base64.urlsafe_b64encode(ref.object.encode()).decode()
    try:
        subject = f"$O.{protocol.ASSETS_BUCKET}.M.{name}"
        noted = await _one(calls, protocol.ASSETS, {"last_by_subj": subject})
        info = msgspec.json.decode(noted.body, type=_ObjectInfo) if noted else _ObjectInfo(deleted=True)
        if info.deleted:
            raise Unavailable(f"object {ref.object} does not exist (any more)")
        body = await _all(calls, protocol.ASSETS, f"$O.{protocol.ASSETS_BUCKET}.C.{info.nuid}")
    except NotSetUp as error:
        raise Unavailable(str(error)) from error
    except msgspec.MsgspecError as error:
        raise Unavailable(f"object {ref.object} cannot be read: {error}") from error
    if hashlib.sha256(body).hexdigest() != ref.sha256:
        raise Unavailable(f"object {ref.object} is damaged: its SHA-256 differs")
    return body


async def _one(calls: Calls, stream: str, query: dict[str, object]) -> StoredMessage | None:
    answer = await calls.call(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(query))
    stored = _stored(answer)
    if stored is None:
        _check_end(answer, stream)
    return stored


async def _all(calls: Calls, stream: str, subject: str) -> bytes:
    """The bodies of all messages on a subject, one after another."""
    query: dict[str, object] = {"batch": _BATCH, "max_bytes": _BATCH_BYTES, "next_by_subj": subject, "seq": 1}
    parts: list[bytes] = []
    while True:
        found: list[StoredMessage] = []

        def collect(msg: Msg, found: list[StoredMessage] = found) -> bool:
            stored = _stored(msg)
            if stored is not None:
                found.append(stored)
            return stored is None

        end = await calls.call(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(query), collect=collect)
        _check_end(end, stream)
        parts += [each.body for each in found]
        if not found or int((end.headers or {}).get("Nats-Num-Pending", "0")) == 0:
            return b"".join(parts)
        query["seq"] = found[-1].sequence + 1


def _check_end(answer: Msg, stream: str) -> None:
    """Accept an answer that has nothing; only that means "not found".

    Raises:
        NotSetUp: no stream answers.
        Unavailable: the broker could not look.
    """
    headers = answer.headers or {}
    status = headers.get("Status", "none")
    if status == "503":
        raise NotSetUp(
            f"stream {stream} is missing or does not allow direct gets; start the pipeline, or run "
            "`understudy topology apply`"
        )
    if status not in _NOTHING:
        why = headers.get("Description", "")
        raise Unavailable(f"the log cannot be read: status {status} {why}".rstrip())


def _stored(msg: Msg) -> StoredMessage | None:
    # A stored message may have a header `Status` of its own: what has a sequence is no end.
    headers = dict(msg.headers or {})
    if "Nats-Sequence" not in headers:
        return None
    return StoredMessage(
        sequence=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        time_ns=nanoseconds(headers["Nats-Time-Stamp"]),
        headers=headers,
        body=msg.data,
    )


def nanoseconds(text: str) -> int:
    """Read the broker's RFC 3339, in UTC with up to nine digits of a second."""
    seconds, _, digits = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return int(whole.timestamp()) * 1_000_000_000 + int(digits.ljust(9, "0"))
