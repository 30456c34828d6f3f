"""Upgrade bench: stages of an earlier version are replaced by this one's under load, one by one, and back again.

Both versions share one broker and one database.  Of ten requests, five are answered by the pipeline; the others meet a slow
model, a model that is down, a document that cannot be used, or a busy server.  The audit is not taken
back: tables are migrated forward only.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import func, select

from contracts import pipeline
from contracts.errors import ErrorCode, UnderstudyError
from contracts.events import DeadLetter
from infra.host.parent_death import before_exec
from infra.lab.bench.outcomes import Outcomes, Tally, tally
from infra.lab.bench.publisher import TAKEN, PublishPlan, RequestSpec, publish
from infra.lab.bench.trial import Say, connected, looking
from infra.nats import log as event_log
from infra.nats import topology
from infra.nats.embedded import Embedded
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings import narrative as narrative_settings
from infra.settings.settings import load
from infra.stores import database
from infra.stores.database import GENERATION_LOGS

ROOT: Final = Path(__file__).resolve().parents[3]
#: What a process of stages needs of a tree.
_PARTS: Final = ("contracts", "stages", "infra", "golden_samples", "library", "pyproject.toml")
#: Downstream first: who reads an event is new before who writes it.
_ORDER: Final = tuple(reversed(pipeline.STAGES))
#: Back again the other way round.
_BACK: Final = tuple(stage for stage in pipeline.STAGES if stage != "audit")
_READY_S: Final = 60.0
_STOP_S: Final = 30.0
#: Seconds of load before the first replacement, and after the last one.
_CALM_S: Final = 3.0
_AUDIT_S: Final = 60.0
_DEADLINE_MS: Final = 8000
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 80}},
    "required": ["title"],
}
_ASKS: Final = tuple(
    RequestSpec(kind=kind, fields={"schema": dict(_SCHEMA)} if kind == "custom" else {})
    for kind in ("layout", "plot", "scene", "dialogue", "transition", "custom")
)
_RULES: Final = (
    {"match": {"request_id": "*1", "stage": "freeform-gen"}, "do": "slow", "after_ms": _DEADLINE_MS + 4000},
    {"match": {"request_id": "*3", "stage": "freeform-gen"}, "do": "refuse"},
    {"match": {"request_id": "*5", "stage": "structuring", "attempt": 1}, "do": "malformed"},
    {"match": {"request_id": "*7", "stage": "freeform-gen", "attempt": 1}, "do": "busy"},
    {"match": {"request_id": "*9", "stage": "structuring"}, "do": "malformed"},
)
#: Last characters of the ids whose documents the script makes invalid.
_INVALID: Final = frozenset("59")


class NoVersion(UnderstudyError):  # noqa: N818 - names what is missing
    """The earlier version cannot be had; the text says why."""


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found."""

    #: The earlier version's commit, and how many came after it.
    earlier: str
    commits: int
    seconds: float
    #: In order: ``up`` or ``back``, the stage, how the replaced process ended.
    replaced: tuple[tuple[str, str, str], ...]
    #: How many of them were done before the load ended.
    under_load: int
    tally: Tally
    #: Codes of the dead letters that no rule of the script explains, by subject.
    letters: dict[str, str]
    #: Requests with a row of the audit.
    rows: int
    #: Processes that ended by themselves, with their last lines.
    ended: dict[str, str]

    @property
    def passed(self) -> bool:
        """One result and one row for each request, in time, and nothing burnt."""
        whole = self.under_load == len(self.replaced) and self.rows == self.tally.accepted
        return whole and self.tally.passed and not self.letters and not self.ended


async def run(revision: str, *, rate: float, pace_s: float, say: Say = lambda _: None) -> Upgraded:
    """Replace every stage of an earlier version, and take all but the audit back.

    Args:
        revision: the earlier version, as git names it.
        rate: requests per second meanwhile.
        pace_s: seconds from one replacement to the next; longer where the machine is slower.
        say: told what is being done.

    Raises:
        NoVersion: git does not know it.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-upgrade-") as name:
        folder = Path(name)
        commit, commits = await _unpack(revision, folder / "earlier")
        say(f"{commit[:12]} is {commits} commits older")
        (folder / "script.json").write_text(json.dumps({"rules": _RULES}), encoding="utf-8")
        async with Embedded(folder / "data") as broker:
            fleet = _Fleet(folder, broker.url, {"earlier": folder / "earlier", "this": ROOT}, say)
            async with fleet.running("earlier"), connected(broker.url) as (_, wire):
                return await _replace_all(fleet, wire, rate, pace_s, (commit, commits), say)


async def _replace_all(
    fleet: _Fleet,
    wire: RequestMultiplexer,
    rate: float,
    pace_s: float,
    earlier: tuple[str, int],
    say: Say,
) -> Upgraded:
    began = time.monotonic()
    steps = [("up", stage) for stage in _ORDER] + [("back", stage) for stage in _BACK]
    seconds = _CALM_S * 2 + pace_s * len(steps)
    plan = PublishPlan(
        url=fleet.url,
        prefix="up-",
        requests=round(rate * seconds),
        rate=rate,
        asks=_ASKS,
        deadline_ms=_DEADLINE_MS,
        again_s=20,
    )
    outcomes = Outcomes(wire)
    replaced: list[tuple[str, str, str]] = []
    async with looking(outcomes):
        publishing = asyncio.create_task(publish(plan))
        await asyncio.sleep(_CALM_S)
        await topology.apply_at(fleet.url, load(data_dir=fleet.data, nats_url=fleet.url))
        under_load = 0
        for number, (way, stage) in enumerate(steps):
            how = signal.SIGKILL if number % 2 else signal.SIGTERM
            await fleet.replace(stage, "this" if way == "up" else "earlier", how)
            replaced.append((way, stage, how.name))
            under_load += not publishing.done()
            say(f"{time.monotonic() - began:.0f} s: {stage} {way}, the other one got {how.name}")
            await asyncio.sleep(max(0.0, began + _CALM_S + pace_s * (number + 1) - time.monotonic()))
        published = await publishing
        ids = [f"up-{number}" for number, code in enumerate(published.codes) if code == TAKEN]
        await outcomes.until_answered(ids, timeout_s=90)
    await outcomes.look()
    found = tally("up-", published, outcomes.asked, outcomes.answered)
    rows = await _rows(fleet.data, found.accepted)
    letters: dict[str, str] = {}
    async for entry in event_log.read(wire, pipeline.DEAD, "dead.>"):
        code = msgspec.json.decode(entry.body, type=DeadLetter).code
        # A document that the script makes invalid each time leaves one by right.
        if not (code == ErrorCode.GEN_SCHEMA_INVALID and entry.subject[-1] in _INVALID):
            letters[entry.subject] = code
    return Upgraded(
        earlier=earlier[0],
        commits=earlier[1],
        seconds=round(time.monotonic() - began, 1),
        replaced=tuple(replaced),
        under_load=under_load,
        tally=found,
        letters=letters,
        rows=rows,
        ended=fleet.ended(),
    )


class _Fleet:
    """One process for each stage, each of one version or the other."""

    def __init__(self, folder: Path, url: str, trees: Mapping[str, Path], say: Say) -> None:
        self.data = folder / "data"
        self._folder = folder
        self.url = url
        self._trees = trees
        self._say = say
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._logs: dict[asyncio.subprocess.Process, Path] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._started = 0

    @contextlib.asynccontextmanager
    async def running(self, version: str) -> AsyncGenerator[None]:
        """Every stage of a version, after its topology; at the end none is left."""
        try:
            applied = await self._spawn(version, ("topology", "apply"))
            if await applied.wait():
                raise NoVersion(f"topology apply of {version} failed: {self._last_lines(applied)}")
            await asyncio.gather(*(self._start(stage, version) for stage in pipeline.STAGES))
            yield
        finally:
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await asyncio.gather(*self._readers)

    async def replace(self, stage: str, version: str, how: signal.Signals) -> None:
        """Start a stage in a version; when it is ready, end the one that runs."""
        before = self._processes[stage]
        await self._start(stage, version)
        before.send_signal(how)
        try:
            await asyncio.wait_for(before.wait(), _STOP_S)
        except TimeoutError:
            raise NoVersion(f"{stage} does not stop: {self._last_lines(before)}") from None

    def ended(self) -> dict[str, str]:
        """Processes that should run and do not."""
        return {
            stage: f"status {each.returncode}: {self._last_lines(each)}"
            for stage, each in self._processes.items()
            if each.returncode is not None
        }

    async def _start(self, stage: str, version: str) -> None:
        process = await self._spawn(version, ("run", stage, "--json"))
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            async with asyncio.timeout(_READY_S):
                while line := await process.stdout.readline():
                    if b'"ready"' in line:
                        break
        except TimeoutError:
            line = b""
        if not line:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise NoVersion(f"{stage} of {version} does not start: {self._last_lines(process)}")
        reader = asyncio.create_task(_drain(process.stdout))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        self._processes[stage] = process

    async def _spawn(self, version: str, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        tree = self._trees[version]
        self._started += 1
        log = self._folder / f"{self._started}-{version}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "infra.cli", *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                cwd=self._folder,
                env=self._environment(tree),
                preexec_fn=before_exec(),
            )
        self._logs[process] = log
        return process

    def _environment(self, tree: Path) -> dict[str, str]:
        """What both versions know: a setting of one alone is an error in the other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
        providers = {
            f"UNDERSTUDY_NARRATIVE__PROVIDERS__{kind.upper()}": "scripted"
            for kind in narrative_settings.Providers.model_fields
        }
        return {
            **kept,
            **providers,
            "PYTHONPATH": os.pathsep.join((str(tree), str(tree / "infra" / "client"))),
            "UNDERSTUDY_NATS_URL": self.url,
            "UNDERSTUDY_DATA_DIR": str(self.data),
            "UNDERSTUDY_SCRIPT": str(self._folder / "script.json"),
            "UNDERSTUDY_LOG_LEVEL": "warning",
            "USE_LOCAL_MODEL": "true",
        }

    def _last_lines(self, process: asyncio.subprocess.Process) -> str:
        lines = self._logs[process].read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-3:])


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65_536):
        pass


async def _unpack(revision: str, folder: Path) -> tuple[str, int]:
    """Write a revision's tree into a folder; its commit, and how many came after it."""
    commit = (await _git("rev-parse", "--verify", f"{revision}^{{commit}}")).decode().strip()
    count = int(await _git("rev-list", "--count", f"{commit}..HEAD"))
    packed = await _git("archive", "--format=tar", commit, *_PARTS)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        await asyncio.to_thread(archive.extractall, folder, filter="data")
    return commit, count


async def _git(*arguments: str) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            ROOT,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise NoVersion("git is not on this machine") from None
    said, complained = await process.communicate()
    if process.returncode:
        why = complained.decode(errors="replace").strip()
        raise NoVersion(f"git {arguments[0]}: {why}; name a revision of a clone with its history")
    return said


async def _rows(data: Path, wanted: int) -> int:
    """Requests with a row; the audit follows the log, so wait for it."""
    engine = database.engine_of(f"sqlite:///{data}/understudy.db")
    give_up = time.monotonic() + _AUDIT_S
    try:
        while True:
            rows = await asyncio.to_thread(_count, engine)
            if rows >= wanted or time.monotonic() > give_up:
                return rows
            await asyncio.sleep(0.5)
    finally:
        engine.dispose()


def _count(engine: Any) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count(GENERATION_LOGS.c.request_id.distinct()))).scalar_one()
