"""Judge of replays: what context-build would decide about each request now, by the functions that it uses itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from contracts import events as ev
from contracts import pipeline, subjects
from contracts.content.registry import Registry
from contracts.envelope import Received, Requested
from contracts.errors import Unavailable
from contracts.lineage import INPUT_OF, StartStage
from contracts.outcome import Emit, Fail, Outcome, Reject
from infra.app.context_ports import brief_ports
from infra.app.schema_checks import CheckedContents, SchemaWorker
from infra.nats import log, steps
from infra.providers.routing import refused_schemas
from infra.replay.plans import ReplayVerdict
from infra.stores import cache_store
from infra.stores import prompts as prompt_store
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import worlds as world_store
from stages.context_build import repetition
from stages.context_build.handle import build

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.replay.origins import ReplayOrigin
    from infra.settings.settings import Settings

#: Requests that are judged at a time.
_AT_A_TIME: Final = 16
#: Subjects in one question to a stream; the broker takes 1,024.
_ASKED: Final = 256


class ReplayJudge:
    """Judges requests with this process's settings, which must be those of the stages.

    Args:
        settings: this process's settings.
        wire: an open wire.

    Raises:
        UnderstudyError: samples, prompts, templates, worlds or settings that cannot be used.
    """

    def __init__(self, settings: Settings, wire: RequestMultiplexer) -> None:
        self._wire = wire
        self._worker = SchemaWorker()
        self._ports = brief_ports(
            settings,
            contents=CheckedContents(Registry(refuses=refused_schemas(settings)), self._worker),
            samples=sample_store.load(*settings.sample_folders),
            prompts=prompt_store.load(*settings.prompt_folders),
            templates=template_store.load(settings.templates_dir),
            worlds=world_store.load(settings.worlds_dir),
        )

    def close(self) -> None:
        """End the worker that checks requests' own schemas."""
        self._worker.close()

    async def judge(
        self, items: Sequence[tuple[ReplayOrigin, str, bytes]], *, from_stage: StartStage | None = None
    ) -> list[ReplayVerdict]:
        """What would be decided about each request: its origin, its id and its body.

        Raises:
            StreamMissing, Unavailable: the broker does not answer.
        """
        stored = await self._steps([each[0].replay_of or "" for each in items], from_stage)
        now_ms = round(time.time() * 1000)
        found: list[ReplayVerdict] = []
        for at, (origin, request_id, body) in enumerate(items, start=1):
            if at % _AT_A_TIME == 0:
                # Whatever else runs in this process has its turn.
                await asyncio.sleep(0)
            received = Received(
                event=Requested(body=body),
                name="requested",
                kind=origin.kind,
                request_id=request_id,
                stream=pipeline.REQUESTS,
                sequence=0,
                time_ms=now_ms,
            )
            try:
                outcome = await build(received, self._ports)
            except Unavailable as error:
                found.append(ReplayVerdict(accepted=False, reason=f"it cannot be checked now: {error}"))
                continue
            found.append(_verdict(outcome, stored.get(origin.replay_of or "")))
        return found

    async def held(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys that the result cache holds.

        Raises:
            StreamMissing, Unavailable: the broker does not answer.
        """
        found: set[str] = set()
        for start in range(0, len(keys), _ASKED):
            asked = [cache_store.subject(key) for key in keys[start : start + _ASKED]]
            for entry in await log.last_of_each(self._wire, cache_store.STREAM, asked):
                if cache_store.is_live(entry):
                    found.add(cache_store.key_of(entry))
        return found

    async def _steps(
        self, request_ids: Sequence[str], from_stage: StartStage | None
    ) -> dict[str, ev.Drafted | ev.Structured]:
        if from_stage is None:
            return {}
        event, found = INPUT_OF[from_stage], dict[str, ev.Drafted | ev.Structured]()
        ids = sorted(set(filter(None, request_ids)))
        for start in range(0, len(ids), _ASKED):
            asked = [subjects.any_kind(event, each) for each in ids[start : start + _ASKED]]
            for entry in await log.last_of_each(self._wire, pipeline.EVENTS, asked):
                step = steps.read(entry)
                if step is not None:
                    found[entry.subject.rpartition(".")[2]] = step
        return found


def _verdict(outcome: Outcome, step: ev.Drafted | ev.Structured | None) -> ReplayVerdict:
    outcome = repetition.start(outcome, step)
    match outcome:
        case Reject(code=code, message=message, faults=faults):
            return ReplayVerdict(accepted=False, code=code, reason=message, faults=faults)
        case Fail(code=code, message=message):
            return ReplayVerdict(accepted=False, code=code, reason=message)
        case Emit(events=events):
            briefs = [
                event.brief
                for event in events
                if isinstance(event, ev.ContextBuilt | ev.Drafted | ev.Structured)
            ]
            if not briefs:
                return ReplayVerdict(accepted=True)
            brief = briefs[0]
            slot = brief.slot
            return ReplayVerdict(
                accepted=True,
                keys=() if slot is None else (slot.key, *slot.older),
                max_tokens=brief.freeform.max_tokens + brief.structuring.max_tokens,
            )
        case _:
            raise TypeError(f"context-build decides no {type(outcome).__name__} about a request")
