"""Logged ends of replays: their results and revisions, and the places of their cache entries, as an undo reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from contracts import cache_entry, envelope, pipeline, subjects
from contracts import events as ev
from contracts.errors import NewerVersion, Unreadable
from contracts.policy.cache_key import CacheKey
from contracts.revisions import UNCONFIRMED
from infra.nats import log
from infra.replay import origins

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: Subjects in one question to a stream.
_ASKED: Final = 256


async def read_last(wire: RequestMultiplexer, event: str, request_ids: Sequence[str]) -> dict[str, LogEntry]:
    """The last message of an event, by request.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.last_of_each`.
    """
    asked = [subjects.any_kind(event, each) for each in request_ids]
    found = await read_each(wire, pipeline.EVENTS, asked)
    return {entry.subject.rpartition(".")[2]: entry for entry in found}


async def read_each(wire: RequestMultiplexer, stream: str, asked: Sequence[str]) -> list[LogEntry]:
    """The last message of each of any number of subjects, where there is one.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.last_of_each`.
    """
    found: list[LogEntry] = []
    for start in range(0, len(asked), _ASKED):
        found += await log.last_of_each(wire, stream, asked[start : start + _ASKED])
    return found


async def read_revisions(
    wire: RequestMultiplexer, originals: Sequence[str]
) -> dict[str, list[tuple[LogEntry, ev.Revised]]]:
    """All revisions of requests, by request, in their order.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """

    async def read(original: str) -> list[tuple[LogEntry, ev.Revised]]:
        subject = subjects.any_kind("revised", original)
        entries = [entry async for entry in log.read(wire, pipeline.EVENTS, subject)]
        found = [(entry, decode("revised", entry)) for entry in entries]
        return [(entry, event) for entry, event in found if isinstance(event, ev.Revised)]

    return dict(zip(originals, await origins.gather(originals, read), strict=True))


def decode_result(entry: LogEntry | None) -> ev.Result | None:
    """The result of a message; ``None``: there is none that this release reads."""
    found = None if entry is None else decode("result", entry)
    return found if isinstance(found, ev.Result) else None


def is_written(result: ev.Result | None) -> bool:
    """Whether a result has content that a model wrote."""
    return result is not None and result.status in cache_entry.WRITTEN_BY_MODEL


def revises(result: ev.Result | None) -> bool:
    """Whether a result's replay is known to be an operator's, so that a revision follows."""
    return result is not None and UNCONFIRMED not in result.meta.warnings


def find_slot(event: str, entry: LogEntry) -> CacheKey | None:
    """The place in the result cache of what a request's stages write; ``None``: it has none."""
    match decode(event, entry):
        case ev.ContextBuilt(brief=brief) | ev.Drafted(brief=brief) | ev.Structured(brief=brief):
            return brief.slot
        case _:
            return None


def decode(event: str, entry: LogEntry) -> Any:
    """The event of a message; ``None``: this release cannot read it."""
    try:
        return envelope.decode(event, entry.body, entry.headers)
    except (Unreadable, NewerVersion):
        return None
