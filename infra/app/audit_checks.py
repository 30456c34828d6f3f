"""Doctor's checks that need the audit: unanswered letters, ack_wait against stage times, and forged events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from contracts import pipeline
from contracts.errors import UnderstudyError
from infra.app import consumer_checks, letter_checks
from infra.app.doctor_check import DoctorCheck, row

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings
    from infra.stores.anomalies import Anomalies


async def examine(
    settings: Settings,
    wire: RequestMultiplexer,
    infos: Mapping[str, Mapping[str, Any]],
    consumers: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[DoctorCheck]:
    """Checks that compare the log with the audit, as far as there is one.

    Args:
        settings: this process's settings.
        wire: an open wire.
        infos: state of each stream as the JetStream API gives it.
        consumers: state of each consumer, by stream and stage.

    Raises:
        UnderstudyError: the broker does not answer.
    """
    dead = infos.get(pipeline.DEAD)
    letters: list[Letter] = []
    if dead is not None:
        letters = await letter_checks.read_latest(wire, last_sequence=int(dead["state"]["last_seq"]))
    ids = [each.request_id for each in letters if each.request_id is not None]
    known = await asyncio.to_thread(_ask_audit, settings.database, infos, consumers, ids)
    rows: list[DoctorCheck] = []
    if dead is not None:
        orphans = await letter_checks.find_orphans(
            wire,
            letters,
            settled=known.settled,
            now_ms=_broker_ms(dead),
            deadline_ms=settings.deadline_ms,
        )
        total = int(dead["state"]["messages"])
        rows.append(letter_checks.letters_row(letters, orphans, total=total, audited=known.asked))
    rows += consumer_checks.ack_waits(known.p99_ms, consumers)
    return [*rows, *([] if known.log is None else [known.log])]


def _broker_ms(info: Mapping[str, Any]) -> int:
    """When the broker answered, ms since the epoch, by its own clock."""
    return int(datetime.fromisoformat(info["ts"]).timestamp() * 1000)


class _Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit knows; empty where it cannot be asked."""

    asked: bool = False
    #: Whether the log holds only what it should; ``None``: not known.
    log: DoctorCheck | None = None
    #: Requests of dead letters that have ended or were replayed.
    settled: frozenset[str] = frozenset()
    p99_ms: Mapping[str, float] = {}


def _ask_audit(
    url: str,
    infos: Mapping[str, Mapping[str, Any]],
    consumers: Mapping[tuple[str, str], Mapping[str, Any]],
    ids: Sequence[str],
) -> _Audited:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow to import, for these rows alone

    from infra.inspect import stats  # noqa: PLC0415 - as above
    from infra.stores import anomalies, database  # noqa: PLC0415 - as above

    requests, audit = infos.get(pipeline.REQUESTS), consumers.get((pipeline.REQUESTS, "audit"))
    now_ms = round(time.time() * 1000)
    try:
        if database.migration_state(url) != "current":
            return _Audited()
        engine = database.engine_of(url)
        try:
            log = None
            if requests is not None and audit is not None:
                since_ms = anomalies.log_since_ms(requests, audit)
                log = _log_row(anomalies.find(engine, now_ms=now_ms, log_since_ms=since_ms))
            return _Audited(
                asked=True,
                log=log,
                settled=frozenset(letter_checks.settled_ids(engine, ids)),
                p99_ms={
                    name: found.p99 for name, found in stats.measure_stages(engine, until_ms=now_ms).items()
                },
            )
        finally:
            engine.dispose()
    except (SQLAlchemyError, UnderstudyError):
        # The database's own row reports it.
        return _Audited()


def _log_row(found: Anomalies) -> DoctorCheck:
    """Does the log hold only what it should?"""
    if not found.counts:
        return row("log", "ok", "every result answers a request, once")
    fix = (
        "look at each with 'understudy why ID' (STREAM:NUMBER: a message under a foreign subject, which nothing "
        "reads); somebody else than the stages can publish: give the broker users "
        "with the permissions of docs/operations.md"
    )
    return row("log", "error", str(found), fix)
