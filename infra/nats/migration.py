"""Migration of older topologies to today's, without loss of accepted requests.

Version 1 kept ``cancelled`` in EVENTS and let REQUESTS take any kind and any number of tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from contracts import pipeline
from contracts.errors import Unavailable
from contracts.kinds import KINDS
from infra.nats.lookup import Lookup
from infra.nats.multiplexer import RequestMultiplexer

if TYPE_CHECKING:
    from nats.aio.client import Client

#: Subjects that a stream had in version 1 and loses.
_FORMER: Final[Mapping[str, frozenset[str]]] = {
    pipeline.EVENTS: frozenset({"gen.cancelled.>"}),
    pipeline.REQUESTS: frozenset({"gen.requested.>"}),
}
_CANCELLED: Final = "gen.cancelled.>"

Config = Mapping[str, Any]
#: Calls the JetStream API: subject behind ``$JS.API.``, body; the answer, ``None`` for not found.
Call = Callable[[str, Any], Awaitable[dict[str, Any] | None]]


def is_former(streams: Mapping[str, Config]) -> bool:
    """Whether streams of an older version have subjects that now belong elsewhere."""
    return any(_former(name, streams.get(name)) for name in _FORMER)


async def migrate(
    nc: Client, call: Call, *, desired: Mapping[str, Config], present: Mapping[str, Config]
) -> None:
    """Give the streams of version 1 today's subjects; safe to repeat, also after a crash halfway.

    EVENTS loses its subject before REQUESTS gets it: a cancellation that is published in between is refused,
    and its publisher tries again.  Cancellations that the fallback has not handled yet are copied to REQUESTS;
    one that is handled twice has no second effect.  REQUESTS keeps its former subject until everything is done,
    so that a second run knows that the first one did not end.

    Args:
        nc: connected client.
        call: the JetStream API.
        desired: today's streams by name.
        present: the broker's streams by name.
    """
    events, requests = present.get(pipeline.EVENTS), present.get(pipeline.REQUESTS)
    if events is not None and _former(pipeline.EVENTS, events):
        await call(f"STREAM.UPDATE.{pipeline.EVENTS}", _moved(events, desired[pipeline.EVENTS], final=True))
    if requests is None or not _former(pipeline.REQUESTS, requests):
        return
    target = desired[pipeline.REQUESTS]
    await call(f"STREAM.UPDATE.{pipeline.REQUESTS}", _moved(requests, target, final=False))
    info = await call(f"CONSUMER.INFO.{pipeline.EVENTS}.fallback", None) or {}
    await _copy(nc, int(info.get("ack_floor", {}).get("stream_seq", 0)) + 1)
    await call(f"STREAM.UPDATE.{pipeline.REQUESTS}", _moved(requests, target, final=True))


def _former(name: str, config: Config | None) -> frozenset[str]:
    return _FORMER[name] & frozenset((config or {}).get("subjects", ()))


def _moved(had: Config, desired: Config, *, final: bool) -> dict[str, Any]:
    """The stream's configuration with today's subjects; until the final step the former ones stay beside them."""
    former = _FORMER[had["name"]]
    if final:
        kept = [subject for subject in had["subjects"] if subject not in former]
        fresh = [subject for subject in desired["subjects"] if subject not in kept]
    else:
        kept = list(had["subjects"])
        heads = {".".join(subject.split(".")[:2]) for subject in kept}
        fresh = [subject for subject in desired["subjects"] if ".".join(subject.split(".")[:2]) not in heads]
    notes = {key: note for key, note in (had.get("metadata") or {}).items() if not key.startswith("_nats.")}
    return {
        **had,
        "subjects": [*kept, *fresh],
        "duplicate_window": desired["duplicate_window"],
        "metadata": notes,
    }


async def _copy(nc: Client, start: int) -> int:
    """Publish again the cancellations that EVENTS keeps from a sequence on; how many they are."""
    wire = RequestMultiplexer()
    await wire.open(nc)
    try:
        lookup, copied = Lookup(wire), 0
        while (found := await lookup.first(pipeline.EVENTS, _CANCELLED, from_sequence=start)) is not None:
            start = found.sequence + 1
            if found.subject.split(".")[2] not in KINDS:
                continue
            headers = {name: value for name, value in found.headers.items() if not name.startswith("Nats-")}
            ack = await wire.publish(found.subject, found.body, headers)
            if ack.error is not None:
                raise Unavailable(f"the broker refuses {found.subject}: {ack.error.description}")
            copied += 1
        return copied
    finally:
        await wire.close()
