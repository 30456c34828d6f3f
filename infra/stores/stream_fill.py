"""Fill of the log's streams: bytes and limits as the broker has them, and what has to go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import pipeline
from contracts.errors import Unavailable
from infra.nats.topology_fields import BUDGET_KEY

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer

#: Share of a stream's byte limit above which the sweeper starts, and at which it stops.
START_ABOVE: Final = 0.8
STOP_BELOW: Final = 0.7
#: Requests are deleted before their events: what is left of a request without its ``requested`` is no request.
ORDER: Final = (pipeline.REQUESTS, pipeline.EVENTS)


class StreamFill(msgspec.Struct, frozen=True, kw_only=True):
    """One stream: what it stores, and its limit; sizes in bytes."""

    name: str
    bytes: int
    limit: int
    messages: int
    first: int
    last: int

    @property
    def share(self) -> float:
        """Bytes as a share of the limit; 0 where there is none."""
        return self.bytes / self.limit if self.limit > 0 else 0.0

    @property
    def excess(self) -> float:
        """Share of the messages that must go, as if all were of one size."""
        return max(0.0, 1 - STOP_BELOW * self.limit / self.bytes) if self.bytes and self.limit > 0 else 0.0

    @property
    def target(self) -> int:
        """First sequence to keep, as if messages were spread evenly."""
        return self.first + round((self.last - self.first + 1) * self.excess)


async def read_fill(wire: RequestMultiplexer) -> dict[str, StreamFill]:
    """Read the fill of the log's streams, by name.

    Raises:
        Unavailable: the broker does not answer.
    """
    fills: dict[str, StreamFill] = {}
    for name in ORDER:
        info = await call_api(wire, f"STREAM.INFO.{name}")
        config, state = info["config"], info["state"]
        # EVENTS cannot have a byte limit; its budget is in the metadata.
        limit = int(config.get("max_bytes", 0))
        if limit <= 0:
            limit = int((config.get("metadata") or {}).get(BUDGET_KEY, 0))
        fills[name] = StreamFill(
            name=name,
            bytes=state["bytes"],
            limit=limit,
            messages=state["messages"],
            first=state["first_seq"],
            last=state["last_seq"],
        )
    return fills


def fullest_share(streams: dict[str, StreamFill]) -> float:
    """Share of the stream that is nearest to its limit, or furthest beyond it."""
    return max(stream.share for stream in streams.values())


async def call_api(
    wire: RequestMultiplexer,
    call: str,
    body: dict[str, Any] | None = None,
    *,
    unless: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    """Call the JetStream API.

    Args:
        wire: calls to the broker.
        call: subject behind ``$JS.API.``.
        body: JSON object.
        unless: JetStream errors to return; every other one is raised.

    Raises:
        Unavailable: the broker does not answer, or refuses.
    """
    payload = msgspec.json.encode(body) if body else b""
    answer: dict[str, Any] = msgspec.json.decode((await wire.call(f"$JS.API.{call}", payload)).data or b"{}")
    error = answer.get("error")
    if error is not None and error.get("err_code") not in unless:
        raise Unavailable(f"the broker refuses {call}: {error.get('description')}")
    return answer
