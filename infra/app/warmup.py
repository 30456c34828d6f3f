"""Warm-up: requests of a file, published ahead of time until a model has written each of them.

Each request is published as a game would publish it, so that all that shapes its content is the same.  Its id
says what it asks for, and the log is the memory: a second run finds the results of the first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from understudy_client import errors
from understudy_client.timeouts import MARGIN_S

from contracts.errors import Unavailable, UnderstudyError
from contracts.expansion import expand
from contracts.nodes import layers
from contracts.nodes.node import Strategy
from contracts.policy import fingerprint
from contracts.ports import Templates
from contracts.request import GenerationRequest, PlayerContext
from contracts.result import Origin, Status
from infra.app.pipeline_client import PipelineClient, check
from infra.authoring.workload import WorkloadItem
from stages.context_build.cache_scope import is_cacheable
from stages.context_build.layering import overrides

#: How long each request may take, milliseconds; nobody waits for it but the warm-up.
DEADLINE_MS: Final = 300_000
#: Requests under way at once.
IN_FLIGHT: Final = 4
#: Statuses of what a model wrote: everything else stands in, or is nothing.
WRITTEN: Final = frozenset({Status.SUCCESS, Status.CACHED})
#: Statuses of what stood in.
_STOOD_IN: Final = frozenset(
    {Status.CACHED_FALLBACK, Status.FAIL_FALLBACK, Status.PLACEHOLDER, Status.SKIPPED}
)
#: Seconds that a request is tried again while the broker does not answer, and between two tries.
_BROKER_S: Final = 30.0
_PAUSE_S: Final = 0.5


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request that is to be there when it is asked for."""

    #: For people.
    name: str
    kind: str
    body: bytes
    #: What the ids of its attempts begin with: equal for what asks for the same.
    stem: str
    #: Whether a result cache keeps what comes of it.
    kept: bool
    #: Seconds within which its result should have come.
    timeout_s: float

    def request_id(self, attempt: int) -> str:
        """The id of one attempt; one that ended in a stand-in is followed by another."""
        return f"{self.stem}-{attempt}"


class Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """How one request ended."""

    name: str
    kind: str
    request_id: str
    #: ``None``: there is no result.
    status: Status | None = None
    origin: Origin | None = None
    #: Why a model did not write it.
    reason: str | None = None
    #: It was there before.
    found: bool = False
    kept: bool = True
    seconds: float = 0.0

    @property
    def warm(self) -> bool:
        """Whether a model wrote it: a stand-in does not count."""
        return self.status in WRITTEN


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How all of them ended."""

    live: int
    cache: int
    #: Written by the scripted provider, in tests.
    scripted: int
    #: Something stood in.
    fallback: int
    #: There is no content.
    failed: int
    #: How many were there before.
    found: int
    requests: tuple[Warmed, ...]

    @property
    def all_warm(self) -> bool:
        """Whether a model wrote every one of them."""
        return all(each.warm for each in self.requests)


def order(wanted: WorkloadItem, kind: str, *, templates: Templates, deadline_ms: int = DEADLINE_MS) -> Order:
    """A request as it will be published.

    Args:
        wanted: what the file says.
        kind: its content kind.
        templates: the template library.
        deadline_ms: in place of its own deadline, which is a player's patience.

    Raises:
        RequestError: naming the field and the fix.
    """
    body = msgspec.json.encode({**wanted.body, "deadline_ms": deadline_ms})
    asked = check(kind, "warm", body)
    around = expand(asked, templates=templates, overrides=overrides).layers
    shape = fingerprint.digest([asked.input_hash(kind), around])
    return Order(
        name=wanted.name,
        kind=kind,
        body=body,
        stem=f"warm-{shape[:32]}",
        kept=_kept(asked, around),
        timeout_s=deadline_ms / 1000 + MARGIN_S,
    )


async def warm(
    client: PipelineClient,
    orders: Sequence[Order],
    *,
    in_flight: int = IN_FLIGHT,
    fresh: bool = False,
    tell: Callable[[Warmed], None] = lambda _: None,
) -> Summary:
    """Ask for what is not there yet, and wait for it.

    Killed at any moment and run again, it goes on where it was: what is under way is waited for, what is there
    is found.

    Args:
        client: of the pipeline.
        orders: the requests; equal ones are asked for once.
        in_flight: requests under way at once.
        fresh: ask again for what the log has already.
        tell: told of each as it ends.
    """
    room = asyncio.Semaphore(in_flight)

    async def one(each: Order) -> Warmed:
        async with room:
            ended = await _patiently(client, each, fresh=fresh)
        tell(ended)
        return ended

    different: dict[str, Order] = {}
    for each in orders:
        different.setdefault(each.stem, each)
    ended = await asyncio.gather(*map(one, different.values()))
    return Summary(
        live=sum(each.origin is Origin.LIVE for each in ended),
        cache=sum(each.status is Status.CACHED for each in ended),
        scripted=sum(each.origin is Origin.SCRIPTED for each in ended),
        fallback=sum(each.status in _STOOD_IN for each in ended),
        failed=sum(each.status not in _STOOD_IN | WRITTEN for each in ended),
        found=sum(each.found for each in ended),
        requests=tuple(ended),
    )


async def _patiently(client: PipelineClient, wanted: Order, *, fresh: bool) -> Warmed:
    """The ending of one request; while the broker is away, again: its id makes that harmless."""
    began = time.monotonic()
    while True:
        try:
            return await _ended(client, wanted, fresh=fresh)
        except (UnderstudyError, errors.ClientError) as error:
            seconds = time.monotonic() - began
            if isinstance(error, Unavailable | errors.Unavailable | errors.Busy) and seconds < _BROKER_S:
                await asyncio.sleep(_PAUSE_S)
                continue
            return Warmed(
                name=wanted.name,
                kind=wanted.kind,
                request_id=wanted.request_id(1),
                reason=str(error),
                kept=wanted.kept,
                seconds=round(seconds, 3),
            )


async def _ended(client: PipelineClient, wanted: Order, *, fresh: bool) -> Warmed:
    began, attempt = time.monotonic(), 1
    while (result := await client.look(wanted.request_id(attempt))) is not None:
        if result.status in WRITTEN and not fresh:
            break
        attempt += 1
    request_id, found = wanted.request_id(attempt), result is not None
    if result is None and await client.owner(request_id) is not None:
        # An earlier run, or another one, has asked: perhaps with another deadline, which would be another body.
        result = await client.wait(request_id, timeout_s=wanted.timeout_s)
    if result is None:
        result = await client.ask(
            wanted.kind, body=wanted.body, request_id=request_id, timeout_s=wanted.timeout_s
        )
    return Warmed(
        name=wanted.name,
        kind=wanted.kind,
        request_id=request_id,
        status=Status(result.status),
        origin=Origin(result.origin),
        reason=result.reason,
        found=found,
        kept=wanted.kept,
        seconds=0.0 if found else round(time.monotonic() - began, 3),
    )


def _kept(asked: GenerationRequest, around: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the result cache keeps what is generated; a plot that asks for its scenes is its own."""
    node = asked.node.model_dump(mode="json", by_alias=False, exclude_unset=True) if asked.node else {}
    said = layers.merge_layers({**around, layers.NODE: node}).values.get("strategy")
    if asked.scenes or said is None:
        return False
    return is_cacheable(Strategy(said), asked.player_context or PlayerContext())
