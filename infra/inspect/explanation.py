"""Explanation of a request: its timeline from the event log, and the requests related to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from contracts import scenes
from contracts.errors import UnderstudyError
from infra.inspect import timeline
from infra.inspect.relatives import Relatives, find_leader, find_relatives
from infra.inspect.timeline import Timeline
from infra.nats import log
from infra.nats.lookup import Lookup
from infra.nats.scene_log import LoggedScenes

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one request."""

    timeline: Timeline
    relatives: Relatives = Relatives()
    #: Why the relatives are not known; ``None``: they are.
    relatives_fault: str | None = None
    #: The running request for the same content whose result it waits for.
    follows: str | None = None
    #: Why that is not known; ``None``: it is.
    follows_fault: str | None = None


async def explain(
    wire: RequestMultiplexer, request_id: str, *, audit: Callable[[], Engine]
) -> Explanation | None:
    """Explain a request; ``None``: the log has nothing about it.

    Args:
        wire: an open wire.
        request_id: the request.
        audit: opens the audit's database.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    entries = await log.of_request(wire, request_id)
    plot = timeline.find_plot(entries)
    seen = None if plot is None else await LoggedScenes(Lookup(wire)).seen(scenes.ids(plot))
    found = timeline.build(request_id, entries, scenes_seen=seen)
    if found is None:
        return None
    relatives, fault = await asyncio.to_thread(_relatives, audit, found)
    follows, follows_fault = await _leader(wire, found, entries)
    return Explanation(
        timeline=found,
        relatives=relatives,
        relatives_fault=fault,
        follows=follows,
        follows_fault=follows_fault,
    )


def to_json(explanation: Explanation) -> dict[str, Any]:
    """The object that ``why --json`` prints."""
    related = explanation.relatives
    return timeline.to_json(explanation.timeline) | {
        "follows": explanation.follows,
        "follows_fault": explanation.follows_fault,
        "related": msgspec.to_builtins(related.found),
        "related_left_out": related.more,
        "related_fault": explanation.relatives_fault,
    }


def _relatives(audit: Callable[[], Engine], found: Timeline) -> tuple[Relatives, str | None]:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow to import

    ended = next(
        (step.line.time_ns // 1_000_000 for step in found.steps if step.line.event in ("result", "shadowed")),
        None,
    )
    try:
        engine = audit()
        try:
            return find_relatives(engine, found.request_id, ended_at_ms=ended), None
        finally:
            engine.dispose()
    except (SQLAlchemyError, UnderstudyError, OSError) as error:
        text = str(getattr(error, "orig", None) or error)
        return Relatives(), text.splitlines()[0] if text else type(error).__name__


async def _leader(
    wire: RequestMultiplexer, found: Timeline, entries: tuple[LogEntry, ...]
) -> tuple[str | None, str | None]:
    """The leader of a request that no stage has taken up yet, and why it is not known."""
    asked = next((each for each in entries if each.subject.startswith("gen.requested.")), None)
    if found.status != timeline.PENDING or asked is None:
        return None, None
    try:
        return await find_leader(wire, asked), None
    except UnderstudyError as error:
        return None, str(error)
