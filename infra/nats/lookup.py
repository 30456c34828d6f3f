"""What does the event log say about one request?

Direct gets (ADR-31 of NATS): answered by the stream itself, without a consumer.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import envelope, pipeline, subjects
from contracts.errors import NewerVersion, Unavailable, Unreadable
from contracts.ports import StoredRequest

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from infra.nats.multiplexer import RequestMultiplexer

#: Subjects asked for in one batch; the broker's own limit is 1024.
_BATCH: Final = 256


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One message as a stream keeps it."""

    subject: str
    sequence: int
    time_ms: int
    body: bytes
    headers: dict[str, str]


#: What a direct get answers for "there is none", and at the end of several.
_NONE: Final = frozenset({"404", "204"})


def said_nothing(msg: Msg) -> bool:
    """Is this the end of an answer, or the answer that there is none?  Only that means not found.

    Raises:
        Unavailable: nobody could look: no stream or no leader answers, or the broker refuses.
    """
    headers = msg.headers or {}
    if "Nats-Sequence" in headers:
        return False
    status = headers.get("Status", "none")
    if status in _NONE:
        return True
    why = headers.get("Description", "") or ("no stream answers" if status == "503" else "")
    raise Unavailable(f"the log cannot be read: status {status} {why}".rstrip())


def _stored(msg: Msg) -> Stored | None:
    if said_nothing(msg):
        return None
    headers = dict(msg.headers or {})
    return Stored(
        subject=headers["Nats-Subject"],
        sequence=int(headers["Nats-Sequence"]),
        time_ms=_milliseconds(headers["Nats-Time-Stamp"]),
        body=msg.data,
        headers=headers,
    )


def _milliseconds(stamp: str) -> int:
    """RFC 3339 with nanoseconds, in UTC, as milliseconds since the epoch."""
    seconds = datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1000 + int(f"{stamp[20:-1]:0<3}"[:3])


def _newer(headers: dict[str, str]) -> str:
    try:
        envelope.check_version("requested", headers)
    except NewerVersion as error:
        return str(error)
    except Unreadable:
        # Context-build has refused it, with the reason.
        return ""
    return ""


class Lookup:
    """Reads single messages from streams; implements :class:`contracts.ports.Log`."""

    def __init__(self, wire: RequestMultiplexer) -> None:
        self._wire = wire
        self._asked: dict[str, list[asyncio.Future[bool]]] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def first(self, stream: str, subject: str, *, from_sequence: int = 1) -> Stored | None:
        """The first message on a subject (wildcards allowed) at or after a sequence."""
        query = msgspec.json.encode({"seq": from_sequence, "next_by_subj": subject})
        return _stored(await self._wire.call(f"$JS.API.DIRECT.GET.{stream}", query))

    async def at(self, stream: str, sequence: int) -> Stored | None:
        """The message with a sequence, if the stream still keeps it."""
        query = msgspec.json.encode({"seq": sequence})
        return _stored(await self._wire.call(f"$JS.API.DIRECT.GET.{stream}", query))

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The last message on a subject."""
        query = msgspec.json.encode({"last_by_subj": subject})
        return _stored(await self._wire.call(f"$JS.API.DIRECT.GET.{stream}", query))

    async def first_request(self, request_id: str) -> StoredRequest | None:
        """The request that owns the id: the one with the lowest sequence, whatever its kind."""
        wanted = subjects.any_kind("requested", request_id)
        found = await self.first(pipeline.REQUESTS, wanted)
        while found is not None:
            try:
                kind = subjects.parse(found.subject).kind
            except subjects.SubjectError:
                found = await self.first(pipeline.REQUESTS, wanted, from_sequence=found.sequence + 1)
                continue
            return StoredRequest(
                kind=kind,
                request_id=request_id,
                body=found.body,
                sequence=found.sequence,
                time_ms=found.time_ms,
                newer=_newer(found.headers),
            )
        return None

    async def has_result(self, request_id: str) -> bool:
        """Whether the request already has its result; questions asked together share one call."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self._asked:
            task = asyncio.create_task(self._flush())
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)
        self._asked.setdefault(request_id, []).append(future)
        return await future

    async def _flush(self) -> None:
        asked, self._asked = self._asked, {}
        ids = list(asked)
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            answer: bool | Exception
            ended: set[str] = set()
            try:
                await self._ended(batch, ended)
            except Exception as error:  # noqa: BLE001 - handed to everybody who asked
                for request_id in batch:
                    for future in asked[request_id]:
                        if not future.done():
                            future.set_exception(error)
                continue
            for request_id in batch:
                answer = request_id in ended
                for future in asked[request_id]:
                    if not future.done():
                        future.set_result(answer)

    async def _ended(self, ids: list[str], ended: set[str]) -> None:
        def collect(msg: Msg) -> bool:
            headers = msg.headers or {}
            if "Nats-Subject" not in headers:
                return True
            ended.add(headers["Nats-Subject"].rpartition(".")[2])
            return False

        query = {"multi_last": [subjects.any_kind("result", one) for one in ids]}
        end = await self._wire.call(
            f"$JS.API.DIRECT.GET.{pipeline.EVENTS}", msgspec.json.encode(query), collect=collect
        )
        said_nothing(end)
