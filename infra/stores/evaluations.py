"""Evaluation runs in the database: what was run, and what each case got."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.engine import RowMapping

from contracts.errors import UnderstudyError
from infra.stores.database import reading
from infra.stores.evaluation_tables import EVALUATION_RESULTS, EVALUATION_RUNS

#: Runs of one set, and of all sets together, that are kept; the oldest is deleted when another one begins.
KEPT_OF_SET: Final = 100
KEPT: Final = 1_000

_runs, _results = EVALUATION_RUNS.c, EVALUATION_RESULTS.c


class RunState(StrEnum):
    """State of a run."""

    #: It runs, or its process was killed.
    RUNNING = "running"
    #: It was interrupted, or lost the broker: some results are missing.
    INTERRUPTED = "interrupted"
    DONE = "done"


class NoRun(UnderstudyError):  # noqa: N818 - names what is missing
    """No stored run is the one that is meant."""


class CaseResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one case got, once."""

    #: The case's name, the digits of what it asks and expects, and which of its repeats this is, from 1.
    case: str
    case_hash: str
    repeat: int
    request_id: str
    kind: str
    #: A :class:`contracts.result.Status`; ``no_result``: none came in time.
    status: str
    origin: str | None = None
    #: Why it is not the model's content.
    code: str | None = None
    #: The model wrote it for this request, and it passed all checks: no stand-in, and nothing from a cache.
    valid: bool = False
    #: Facts that the case names, and those of them that valid content mentions.
    facts: int = 0
    facts_kept: int = 0
    #: The first alternative of each other fact.
    missing: tuple[str, ...] = ()
    #: Avoided terms that the case names, and those that the content mentions.
    avoid: int = 0
    found: tuple[str, ...] = ()
    #: Milliseconds within which the case wants its content.
    max_latency_ms: int | None = None
    #: From the request to the result, by the broker's clock.
    latency_ms: int | None = None
    #: 0 to 1.
    quality: float | None = None
    #: ``scored``, ``skipped`` or ``failed``; ``None``: no judge looked at it.
    judge: str | None = None
    #: 1 to 5, where it is scored.
    judge_score: float | None = None
    #: Provider, model and rubric: scores of another judge, or by another rubric, mean something else.
    judged_by: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    #: Money, in the provider's currency; ``None``: not known.
    cost: float | None = None
    #: A :class:`contracts.result.RepairLevel`.
    repair: str | None = None
    reasks: int = 0
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None

    @property
    def tokens(self) -> int | None:
        """Of prompts and answers together; ``None``: not known."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)

    @property
    def in_time(self) -> bool:
        """Whether valid content came within :attr:`max_latency_ms`."""
        return (
            self.valid
            and self.max_latency_ms is not None
            and self.latency_ms is not None
            and self.latency_ms <= self.max_latency_ms
        )


class EvaluationRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a set, without its results."""

    #: Its number; 0: it is not stored yet.
    run: int = 0
    name: str
    set_hash: str
    state: RunState = RunState.RUNNING
    #: ms since the epoch.
    started_ms: int
    ended_ms: int | None = None
    #: Cases of the set, and how often each was to run.
    cases: int
    repeat: int
    version: str
    revision: str | None = None
    #: Settings that shape contents, by their dotted names.
    settings: dict[str, Any] = {}


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its results, in the order of the set and its repeats."""

    run: EvaluationRun
    results: tuple[CaseResult, ...]


_decode_result: Final = msgspec.json.Decoder(CaseResult).decode
_decode_settings: Final = msgspec.json.Decoder(dict[str, Any]).decode


def begin(engine: Engine, run: EvaluationRun) -> EvaluationRun:
    """Store a run that begins, and delete those that are too many.

    Returns:
        the run with its number.
    """
    values = msgspec.structs.asdict(run) | {"settings": msgspec.json.encode(run.settings).decode()}
    del values["run"]
    with engine.begin() as connection:
        stored = insert(EVALUATION_RUNS).values(values).returning(_runs.run)
        number = int(connection.execute(stored).scalar_one())
        _delete_oldest(connection, run.name)
    return msgspec.structs.replace(run, run=number)


def add(engine: Engine, run: int, results: Sequence[tuple[int, CaseResult]]) -> None:
    """Store results of a run, each with its position."""
    rows = [
        {
            "run": run,
            "position": position,
            "request_id": each.request_id,
            "record": msgspec.json.encode(each).decode(),
        }
        for position, each in results
    ]
    with engine.begin() as connection:
        connection.execute(insert(EVALUATION_RESULTS), rows)


def end(engine: Engine, run: int, state: RunState, *, ended_ms: int) -> None:
    """Store how a run ended."""
    with engine.begin() as connection:
        connection.execute(
            update(EVALUATION_RUNS).where(_runs.run == run).values(state=str(state), ended_ms=ended_ms)
        )


def find(engine: Engine, number: int) -> StoredRun:
    """A run by its number.

    Raises:
        NoRun: there is none.
    """
    with reading(engine) as connection:
        row = connection.execute(select(EVALUATION_RUNS).where(_runs.run == number)).mappings().first()
        if row is None:
            raise NoRun(f"there is no evaluation run {number}; `understudy evaluations ls` lists them")
        return StoredRun(run=_read(row), results=_read_results(connection, number))


def find_last(engine: Engine, name: str, *, before: int | None = None) -> StoredRun | None:
    """The last run of a set that was not interrupted and has valid content; ``None``: there is none.

    Args:
        engine: the database.
        name: of the set.
        before: only a run with a lower number.
    """
    query = select(EVALUATION_RUNS).where(_runs.name == name, _runs.state == str(RunState.DONE))
    if before is not None:
        query = query.where(_runs.run < before)
    with reading(engine) as connection:
        for row in connection.execute(query.order_by(_runs.run.desc())).mappings().all():
            results = _read_results(connection, row["run"])
            if any(each.valid for each in results):
                return StoredRun(run=_read(row), results=results)
    return None


def list_runs(engine: Engine, *, name: str | None = None, limit: int | None = None) -> list[StoredRun]:
    """The latest runs with their results, newest first."""
    query = select(EVALUATION_RUNS).order_by(_runs.run.desc()).limit(limit)
    if name is not None:
        query = query.where(_runs.name == name)
    with reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
        return [StoredRun(run=_read(row), results=_read_results(connection, row["run"])) for row in rows]


def remove(engine: Engine, numbers: Iterable[int]) -> None:
    """Delete runs.

    Raises:
        NoRun: one of them does not exist; none is deleted.
    """
    wanted = list(dict.fromkeys(numbers))
    with engine.begin() as connection:
        known = set(connection.execute(select(_runs.run).where(_runs.run.in_(wanted))).scalars())
        missing = [each for each in wanted if each not in known]
        if missing:
            raise NoRun(f"there is no evaluation run {missing[0]}; `understudy evaluations ls` lists them")
        _delete(connection, wanted)


def _delete_oldest(connection: Connection, name: str) -> None:
    newest = select(_runs.run).order_by(_runs.run.desc())
    excess = [
        *connection.execute(newest.where(_runs.name == name).offset(KEPT_OF_SET)).scalars(),
        *connection.execute(newest.offset(KEPT)).scalars(),
    ]
    if excess:
        _delete(connection, excess)


def _delete(connection: Connection, numbers: Sequence[int]) -> None:
    connection.execute(delete(EVALUATION_RESULTS).where(_results.run.in_(numbers)))
    connection.execute(delete(EVALUATION_RUNS).where(_runs.run.in_(numbers)))


def _read(row: RowMapping) -> EvaluationRun:
    values: dict[str, Any] = dict(row) | {
        "state": RunState(row["state"]),
        "settings": _decode_settings(row["settings"]),
    }
    return EvaluationRun(**values)


def _read_results(connection: Connection, number: int) -> tuple[CaseResult, ...]:
    query = select(_results.record).where(_results.run == number).order_by(_results.position)
    return tuple(_decode_result(record) for record in connection.execute(query).scalars())
