"""Evaluation desk: runs the requests of a set in the running pipeline, and stores what they got."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from understudy_client import NoResult, new_id
from understudy_client import errors as client_errors
from understudy_client.tasks import end_tasks

from contracts import pipeline, request
from contracts.errors import Unavailable, UnderstudyError
from contracts.redaction import redact_text
from infra.inspect import evaluation_scores, outcomes
from infra.nats import topology
from infra.replay import reruns
from infra.replay.reruns import Rerun
from infra.settings import shipped
from infra.settings.effective import list_settings
from infra.stores import evaluations
from infra.stores.evaluations import CaseResult, EvaluationRun, RunState

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.app.evaluation_plan import PlannedRequest
    from infra.app.pipeline_client import PipelineClient
    from infra.settings.settings import Settings
    from infra.stores.evaluation_sets import EvaluationSet

#: Settings that shape no content: where things are, and how they are run.
_OPERATION: Final = frozenset(
    {
        *("nats_url", "nats", "data_dir", "database_url", "broker", "concurrency", "admission", "audit"),
        *("budgets", "telemetry", "gateway", "ack_wait", "grace", "log_level", "log_format", "metrics"),
        *("result_cache", "experiments_dir", "scenes_in_flight"),
    }
)
#: Looks at the stages before they count as stopped, and seconds between two.
_LOOKS: Final = 10
_LOOK_S: Final = 0.2
#: Seconds that an interrupted run takes to cancel its requests.
_CANCEL_S: Final = 5.0
_GIT_S: Final = 5.0
_TOKEN_DIGITS: Final = 12


class NotRunning(Unavailable):
    """Stages that a request needs are not running."""


def describe_run(settings: Settings, evaluated: EvaluationSet, *, repeat: int) -> EvaluationRun:
    """A run that begins now, with what may explain its results; blocks."""
    return EvaluationRun(
        name=evaluated.name,
        set_hash=evaluated.digest,
        started_ms=round(time.time() * 1000),
        cases=len(evaluated.cases),
        repeat=repeat,
        version=_find_version(),
        revision=_find_revision(),
        settings={
            each.setting: each.value
            for each in list_settings(settings, environment={})
            if each.setting.partition(".")[0] not in _OPERATION
        },
    )


async def check_running(settings: Settings, client: PipelineClient) -> None:
    """See that the stages of a request run.

    Raises:
        NotRunning: naming those that do not.
    """
    missing: list[str] = []
    for _ in range(_LOOKS):
        missing = await _find_missing(settings, client)
        if not missing:
            return
        await asyncio.sleep(_LOOK_S)
    raise NotRunning(
        f"no process runs {', '.join(missing)}, so no request would get its content: start the pipeline "
        "(`understudy up`), then evaluate again"
    )


async def _find_missing(settings: Settings, client: PipelineClient) -> list[str]:
    """Stages of which no process fetches or works."""
    wanted = topology.desired_topology(settings)
    info = await topology.read_info(client.wire.client, (), wanted.consumers)
    busy = {
        stage
        for (_, stage), state in info.consumers.items()
        if int(state.get("num_waiting", 0)) or int(state.get("num_ack_pending", 0))
    }
    return [each for each in pipeline.STAGES if each != "audit" and each not in busy]


class EvaluationDesk:
    """Runs sets.

    Args:
        settings: those of the pipeline.
        client: a connected client.
        engine: the database, with its tables.
    """

    def __init__(self, settings: Settings, client: PipelineClient, engine: Engine) -> None:
        self._settings = settings
        self._client = client
        self._engine = engine

    async def run(
        self,
        run: EvaluationRun,
        planned: Sequence[PlannedRequest],
        *,
        at_once: int,
        on_result: Callable[[CaseResult], object] = lambda _: None,
    ) -> RunState:
        """Run the requests of a run that has begun; what they got is stored as it comes.

        Cancelled, it cancels its requests in the pipeline, keeps what it has, and ends.

        Args:
            run: as :func:`infra.stores.evaluations.begin` returns it.
            planned: its requests.
            at_once: requests without a result at a time.
            on_result: called after each result.

        Raises:
            BrokerLost, Unavailable, ClientError: the broker was lost; what came before is stored.
            sqlalchemy.exc.SQLAlchemyError: the database did not take the results.
        """
        recorder = _Recorder(self._engine, run.run)
        # Ids of an earlier database's runs must not be met.
        token = new_id().replace("-", "")[-_TOKEN_DIGITS:]
        waiting = [(at, each, each.request_id(token, at)) for at, each in enumerate(planned, start=1)][::-1]
        under_way: set[str] = set()

        async def work() -> None:
            while waiting:
                position, each, request_id = waiting.pop()
                under_way.add(request_id)
                result = await self._run_one(each, request_id)
                under_way.discard(request_id)
                await recorder.add(position, self._redact(result))
                on_result(result)

        state = RunState.INTERRUPTED
        workers = [asyncio.create_task(work()) for _ in range(min(at_once, len(planned)))]
        try:
            await asyncio.gather(*workers)
            state = RunState.DONE
        except asyncio.CancelledError:
            await end_tasks(*workers)
            await self._cancel(under_way)
        finally:
            await end_tasks(*workers)
            await recorder.end(state)
        return state

    async def _run_one(self, each: PlannedRequest, request_id: str) -> CaseResult:
        item = Rerun(original=each.replay_of, request_id=request_id, kind=each.kind, body=each.body)
        timeout_s = self._client.timeout_s(request.read(each.body, each.kind))
        try:
            async with asyncio.timeout(timeout_s):
                await reruns.publish(self._client, item)
            await self._client.wait(request_id, kind=each.kind, timeout_s=timeout_s)
        except (TimeoutError, NoResult):
            # The pipeline took no requests, or it did not answer: the case has no result.
            pass
        found = await outcomes.read_logged(self._client.wire, [request_id])
        return evaluation_scores.score(
            each.case, each.repeat, request_id=request_id, kind=each.kind, outcome=found.get(request_id)
        )

    def _redact(self, result: CaseResult) -> CaseResult:
        if self._settings.audit.store_prompts:
            return result
        missing, found = (tuple(map(redact_text, terms)) for terms in (result.missing, result.found))
        return msgspec.structs.replace(result, missing=missing, found=found)

    async def _cancel(self, request_ids: set[str]) -> None:
        """Cancel what nobody waits for any more, as far as the broker answers."""
        calls = (self._client.cancel(each, reason="the evaluation was interrupted") for each in request_ids)
        try:
            async with asyncio.timeout(_CANCEL_S):
                await asyncio.gather(*calls)
        except (TimeoutError, UnderstudyError, client_errors.ClientError):
            # Their deadlines end them.
            return


class _Recorder:
    """Stores results as they come; what the database does not take now is tried again with the next one."""

    def __init__(self, engine: Engine, run: int) -> None:
        self._engine = engine
        self._run = run
        self._waiting: list[tuple[int, CaseResult]] = []
        # Threads write, also one whose caller was cancelled.
        self._lock = Lock()

    async def add(self, position: int, result: CaseResult) -> None:
        """Store a result."""
        self._waiting.append((position, result))
        try:
            await asyncio.to_thread(self._store)
        except SQLAlchemyError:
            # The last try, at the end, reports it.
            return

    async def end(self, state: RunState) -> None:
        """Store what waits, and how the run ended.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not take it.
        """
        await asyncio.to_thread(self._store)
        ended_ms = round(time.time() * 1000)
        await asyncio.to_thread(evaluations.end, self._engine, self._run, state, ended_ms=ended_ms)

    def _store(self) -> None:
        with self._lock:
            some = tuple(self._waiting)
            if some:
                evaluations.add(self._engine, self._run, some)
                del self._waiting[: len(some)]


def _find_version() -> str:
    try:
        return version("understudy-pipeline")
    except PackageNotFoundError:
        return "unknown"


def _find_revision() -> str | None:
    """The revision of the folder of sources; ``None``: this is an installation."""
    root = shipped.ROOT
    if not (root / ".git").exists():
        return None
    asked = ("git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*")
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_GIT_S, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
