"""Questions of the sweeper to the audit database: which requests are done, and since when others are not."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, exists, func, select

from infra.stores.database import GENERATION_LOGS, GENERATIONS, reading
from infra.stores.stream_fill import StreamFill
from stages.audit.fold import REPEATED

#: Requests that one cut parts from their events at most.
_STRADDLING: Final = 2_000
#: Requests in doubt that one look checks in the log at most.
MAX_DOUBTS: Final = 500


class DoneRequests:
    """The rows of audit, as one look of the sweeper reads them; each call blocks.

    Args:
        engine: the audit's database.
        ended_before_ms: time before which a done request has ended, ms since the epoch.
    """

    def __init__(self, engine: Engine, *, ended_before_ms: int) -> None:
        self._engine = engine
        self._ended_before_ms = ended_before_ms

    def knows(self, request_id: str) -> bool:
        """Whether audit has a row of a request."""
        query = select(GENERATIONS.c.request_id).where(GENERATIONS.c.request_id == request_id)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def find_oldest_open(self, since_ms: int) -> int | None:
        """When the oldest request came that has no result, or whose result is too recent; ms since the epoch."""
        row = GENERATIONS.c
        opened = select(func.min(row.open_since_ms)).where(
            row.open_since_ms >= since_ms, row.status != REPEATED
        )
        fresh = select(func.min(row.requested_at_ms)).where(
            row.requested_at_ms >= since_ms, row.ended_at_ms > self._ended_before_ms
        )
        with reading(self._engine) as connection:
            times = [connection.execute(query).scalar() for query in (opened, fresh)]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def find_straddling(self, cut_ms: int, head_ms: int) -> tuple[int, list[tuple[str, int]]]:
        """Find requests before a cut that leave something behind it.

        Args:
            cut_ms: the cut, ms since the epoch.
            head_ms: time of the oldest message.

        Returns:
            the cut, or an earlier one where they are too many; each request's id and time.
        """
        row, again = GENERATIONS.c, GENERATIONS.alias().c
        late = (
            select(row.request_id, row.requested_at_ms)
            .where(row.ended_at_ms >= cut_ms, row.requested_at_ms.between(head_ms, cut_ms - 1))
            .order_by(row.requested_at_ms)
            .limit(_STRADDLING + 1)
        )
        with reading(self._engine) as connection:
            parted = [(each[0], each[1]) for each in connection.execute(late)]
            whole_ms = parted[_STRADDLING][1] if len(parted) > _STRADDLING else cut_ms
            # The log still had the first request when it was repeated.
            repeated = select(row.request_id, row.requested_at_ms).where(
                row.requested_at_ms.between(head_ms, whole_ms - 1),
                row.status != REPEATED,
                exists().where(
                    again.request_id == row.request_id, again.life_ms >= whole_ms, again.status == REPEATED
                ),
            )
            lives = {(each[0], each[1]) for each in connection.execute(repeated)}
        return whole_ms, sorted(lives | {each for each in parted if each[1] < whole_ms})

    def find_doubts(self, since_ms: int) -> list[tuple[str, int]]:
        """Find requests of which audit cannot say whether they are open: each one's id and time, oldest first."""
        row = GENERATIONS.c
        query = (
            select(row.request_id, row.open_since_ms)
            .where(row.open_since_ms >= since_ms, row.status == REPEATED)
            .order_by(row.open_since_ms)
            .limit(MAX_DOUBTS)
        )
        with reading(self._engine) as connection:
            return [(each[0], each[1]) for each in connection.execute(query)]

    def find_done(self, ids: set[str], events: StreamFill) -> set[str]:
        """Select ids whose result has its log row and is still in the log, and that were not requested again since."""
        log, row = GENERATION_LOGS.c, GENERATIONS.c
        since = exists().where(row.request_id == log.request_id, row.open_since_ms > log.ended_at_ms)
        query = select(log.request_id).where(
            log.request_id.in_(sorted(ids)),
            log.sequence.between(events.first, events.last),
            log.ended_at_ms <= self._ended_before_ms,
            ~since,
        )
        with reading(self._engine) as connection:
            return {each[0] for each in connection.execute(query)}
