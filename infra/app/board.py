"""Board: what each stage has to do now, and how the requests of the last minutes ended."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from infra.app import process_pages
from infra.app.broker_state import ConsumerState, read_consumers
from infra.inspect.figures import GroupFigures
from infra.inspect.stats import collect_stats, find_end
from infra.nats import topology

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings

#: Looks that are remembered, and seconds for which one is: deliveries are counted between the oldest and the newest.
_LOOKS: Final = 16
_REMEMBERED_S: Final = 15.0
_MINUTE_MS: Final = 60_000
_CONSUMERS: Final = tuple((route.stream, route.durable) for route in pipeline.routes())


class StageLane(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage has to do, over all of its consumers."""

    stage: str
    #: Messages that are not delivered yet.
    waiting: int
    #: Messages that are delivered and not acknowledged.
    ack_pending: int
    #: Of these, the ones in work and the ones put back until their next delivery; ``None``: the gateway does not see
    #: the metrics of all processes.
    working: int | None
    parked: int | None
    #: Messages of ``ack_pending`` that were delivered before.
    redelivered: int
    #: Open requests of the stage's processes for messages.
    fetching: int
    #: Seconds since the oldest unfinished message was stored; ``None``: all are finished.
    oldest_age_s: float | None
    #: Deliveries a second in the last seconds; ``None`` at the first look.
    delivered_per_s: float | None
    #: What is wrong with its consumers, and what to do.
    problems: tuple[str, ...]


class BoardFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How requests ended."""

    #: Requests without a result, and when the oldest of them came.
    open: int = 0
    open_since_ms: int | None = None
    #: Results in the last minute, a second.
    results_per_s: float = 0.0
    #: The results of the last five minutes, with the share of stand-ins and their reasons; ``None``: there is no audit.
    last_5m: GroupFigures | None = None


class LaneReader:
    """Reads the lanes; it remembers earlier looks, from which it knows how fast a lane moves.

    Args:
        wire: an open wire.
        settings: this process's settings.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        wire: RequestMultiplexer,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._settings = settings
        self._clock = clock
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=_LOOKS)

    async def read(self) -> tuple[StageLane, ...]:
        """The lanes now, in the order of the pipeline.

        Raises:
            TopologyError: the broker has no JetStream.
            Unavailable: the broker does not answer.
        """
        info, pages = await asyncio.gather(
            topology.read_info(self._wire.client, (), _CONSUMERS),
            asyncio.to_thread(process_pages.fetch_pages, self._settings.data_dir),
        )
        consumers = await read_consumers(self._wire, self._settings, info.consumers)
        in_hand = None if pages is None else process_pages.read_in_hand(pages)
        return self.build(consumers, in_hand)

    def build(
        self, consumers: tuple[ConsumerState, ...], in_hand: Mapping[tuple[str, str], int] | None
    ) -> tuple[StageLane, ...]:
        """The lanes of consumers.

        Args:
            consumers: as they are now.
            in_hand: messages in work, by stream and stage; ``None``: not known.
        """
        by_stage: defaultdict[str, list[ConsumerState]] = defaultdict(list)
        for each in consumers:
            by_stage[each.stage].append(each)
        rates = self._rates({stage: sum(each.delivered for each in own) for stage, own in by_stage.items()})
        return tuple(
            _lane(stage, by_stage[stage], in_hand, rates.get(stage))
            for stage in pipeline.STAGES
            if stage in by_stage
        )

    def _rates(self, delivered: Mapping[str, int]) -> dict[str, float]:
        """Deliveries a second since the oldest look that is remembered."""
        now_s = self._clock()
        while self._looks and self._looks[0][0] < now_s - _REMEMBERED_S:
            self._looks.popleft()
        if any(delivered.get(stage, 0) < number for _, look in self._looks for stage, number in look.items()):
            # The consumers are new: the topology was applied again.
            self._looks.clear()
        first_s, first = self._looks[0] if self._looks else (now_s, {})
        self._looks.append((now_s, delivered))
        if now_s <= first_s:
            return {}
        return {
            stage: round((number - first[stage]) / (now_s - first_s), 2)
            for stage, number in delivered.items()
            if stage in first
        }


def collect_figures(engine: Engine, *, now_ms: int) -> BoardFigures:
    """How the requests of the last minutes ended.

    Args:
        engine: the audit's database.
        now_ms: this machine's time, ms since the epoch.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    found = collect_stats(
        engine, until_ms=find_end(engine, now_ms=now_ms), windows={"1m": _MINUTE_MS, "5m": 5 * _MINUTE_MS}
    )
    minute, five = found.windows
    return BoardFigures(
        open=found.open,
        open_since_ms=found.open_since_ms,
        results_per_s=round(minute.total.requests * 1000 / _MINUTE_MS, 2),
        last_5m=five.total,
    )


def _lane(
    stage: str,
    consumers: list[ConsumerState],
    in_hand: Mapping[tuple[str, str], int] | None,
    rate: float | None,
) -> StageLane:
    pending = sum(each.ack_pending for each in consumers)
    working = None
    if in_hand is not None:
        # A message may be acknowledged between the two looks.
        working = min(pending, sum(in_hand.get((each.stream, stage), 0) for each in consumers))
    ages = [each.oldest_age_s for each in consumers if each.oldest_age_s is not None]
    return StageLane(
        stage=stage,
        waiting=sum(each.waiting for each in consumers),
        ack_pending=pending,
        working=working,
        parked=None if working is None else pending - working,
        redelivered=sum(each.redelivered for each in consumers),
        fetching=sum(each.fetching for each in consumers),
        oldest_age_s=max(ages, default=None),
        delivered_per_s=rate,
        problems=tuple(f"{each.stream}: {each.problem}; {each.fix}" for each in consumers if each.problem),
    )
