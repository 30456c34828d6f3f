"""Trial: a pipeline started, loaded and observed step by step."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import pipeline
from contracts.errors import Unavailable
from infra.app.supervisor import Supervisor
from infra.lab.bench.outcomes import Outage, Outcomes, Tally, tally
from infra.lab.bench.publisher import TAKEN, Published, PublishPlan, publish
from infra.lab.bench.sampler import ResidentMemory, Sampler
from infra.nats import topology
from infra.nats.connection import dial
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings import narrative as narrative_settings
from infra.settings import settings as settings_module

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings.settings import Settings

Say = Callable[[str], None]

#: Seconds that a call of a bench may take: a broker under load is what it looks at.
_CALL_S: Final = 30.0
#: Seconds after which stages that still have work are not waited for.
_QUIET_S: Final = 60.0
#: Stages whose waiting work would weigh on the next step; the audit follows when it can.
_LINE: Final = frozenset(pipeline.STAGES) - {"audit"}


class LoadStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step: how its requests ended, and what that took."""

    name: str
    tally: Tally
    #: Seconds from the last publish until every accepted request had its result, or it was given up.
    answered_after_s: float
    #: Seconds from then until no stage but the audit had work waiting; ``None``: that was given up.
    quiet_after_s: float | None
    #: By process.
    memory_mib: dict[str, ResidentMemory]
    #: Load average of the last minute, before and after.
    load_average: tuple[float, float]


def scripted(
    data_dir: Path,
    *,
    sync_interval: str,
    rules: Sequence[Mapping[str, Any]] = (),
    model: bool = True,
    custom: str = "scripted",
    server: str | None = None,
    **more: Any,
) -> Settings:
    """Settings of a pipeline whose model is the scripted provider, or that wants no model.

    Args:
        data_dir: for broker, database and script.
        sync_interval: the broker's.
        rules: of the script.
        model: false: every request gets its stand-in.
        custom: the provider that writes kind ``custom``.
        server: base URL of a model server that writes it instead.
        **more: further settings, and others in place of these.
    """
    providers = dict.fromkeys(narrative_settings.Providers.model_fields, "scripted")
    providers["custom"] = custom
    narrative: dict[str, Any] = {"providers": providers}
    if server is not None:
        providers["custom"] = "openai"
        # Each of its answers counts, equal ones too; and no failure keeps the next request from it.
        narrative |= {
            "openai": {"base_url": server, "model": "odd"},
            "breaker": {"failures": 1000},
            "response_cache": {"enabled": False},
        }
    script = None
    if rules:
        data_dir.mkdir(parents=True, exist_ok=True)
        script = data_dir / "script.json"
        script.write_text(json.dumps({"rules": rules}), encoding="utf-8")
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "nats_url": None,
        "use_local_model": model,
        "script": script,
        "log_level": "error",
        "broker": {"sync_interval": sync_interval},
        "narrative": narrative,
    }
    return settings_module.load(**(given | more))


class Trial:
    """A pipeline as ``understudy up`` runs it, and what is seen of it.

    Made by :func:`starting`.
    """

    def __init__(self, supervisor: Supervisor, client: Client, wire: RequestMultiplexer) -> None:
        self.supervisor = supervisor
        self.client = client
        self.wire = wire
        self.outcomes = Outcomes(wire)
        self.sampler = Sampler(lambda: supervisor.processes)

    async def step(
        self,
        name: str,
        plan: PublishPlan,
        *,
        beside: Callable[[], Awaitable[Sequence[Outage] | None]] | None = None,
        patience_s: float = 120.0,
    ) -> LoadStep:
        """Publish, wait for the results, and for the stages to have nothing to do.

        Args:
            name: the step's.
            plan: what is published; its prefix must be new.
            beside: what happens meanwhile; returns times without a broker.
            patience_s: seconds beyond the last deadline after which results are given up.
        """
        before = os.getloadavg()[0]
        self.outcomes.forget()
        self.sampler.begin()
        async with looking(self.outcomes, self.sampler):
            published, outages = await _together(publish(plan), beside)
            ended = time.monotonic()
            ids = [f"{plan.prefix}{number}" for number, code in enumerate(published.codes) if code == TAKEN]
            left = max(published.deadlines_ms) / 1000 + patience_s
            await self.outcomes.until_answered(ids, timeout_s=left)
            answered = time.monotonic()
            quiet = await self._quiet()
        await self.outcomes.look()
        return LoadStep(
            name=name,
            tally=tally(
                plan.prefix, published, self.outcomes.asked, self.outcomes.answered, outages=outages or ()
            ),
            answered_after_s=round(answered - ended, 1),
            quiet_after_s=None if quiet is None else round(quiet, 1),
            memory_mib=self.sampler.end(),
            load_average=(round(before, 1), round(os.getloadavg()[0], 1)),
        )

    async def _quiet(self) -> float | None:
        """Seconds until the stages have nothing to do."""
        began = time.monotonic()
        while time.monotonic() - began < _QUIET_S:
            with contextlib.suppress(Unavailable):
                if not await self.waiting():
                    return time.monotonic() - began
            await asyncio.sleep(0.5)
        return None

    async def waiting(self) -> int:
        """Messages that stages, the audit left out, have not acknowledged."""
        found = await asyncio.gather(
            *(
                topology.consumer(self.client, route.stream, route.durable)
                for route in pipeline.routes()
                if route.stage in _LINE
            )
        )
        return sum(info["num_pending"] + info["num_ack_pending"] for info in found if info is not None)


@contextlib.asynccontextmanager
async def looking(*lookers: Outcomes | Sampler) -> AsyncGenerator[None]:
    """Let these look again and again; raises what ends one of them before its time."""
    tasks = [asyncio.create_task(each.keep_looking()) for each in lookers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for each in ended:
        if isinstance(each, Exception):
            raise each


async def _together(
    publishing: Awaitable[Published], beside: Callable[[], Awaitable[Sequence[Outage] | None]] | None
) -> tuple[Published, Sequence[Outage] | None]:
    if beside is None:
        return await publishing, None
    return await asyncio.gather(publishing, beside())


@contextlib.asynccontextmanager
async def connected(where: str | Settings) -> AsyncGenerator[tuple[Client, RequestMultiplexer]]:
    """A connection of a bench, which waits longer for answers than a stage does."""
    client = await dial(where, name="understudy-bench")
    wire = RequestMultiplexer(timeout_s=_CALL_S)
    await wire.open(client)
    try:
        yield client, wire
    finally:
        await wire.close()
        await client.close()


@contextlib.asynccontextmanager
async def starting(configure: Callable[[Path], Settings], **supervised: Any) -> AsyncGenerator[Trial]:
    """Start a pipeline in a folder of its own; at the end its processes and its folder are gone.

    Args:
        configure: its settings, given the folder.
        **supervised: as :class:`infra.app.supervisor.Supervisor`.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as folder:
        async with (
            Supervisor(configure(Path(folder)), **supervised) as supervisor,
            connected(supervisor.reached) as (client, wire),
        ):
            yield Trial(supervisor, client, wire)
