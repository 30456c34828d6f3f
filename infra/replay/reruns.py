"""Reruns: past requests as shadows with another prompt, model or parameter, and their results beside the originals'.

The id of a shadow follows from the job and the original, and the broker refuses the second publish of an id.  So a rerun
that was interrupted is run again under its job, and publishes only what is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from pydantic.alias_generators import to_snake
from understudy_client.tasks import end_tasks

from contracts import request, scenes, subjects
from contracts.errors import UnderstudyError
from contracts.lineage import DESCENT, INPUT_OF, StartStage
from contracts.redaction import is_redacted
from contracts.request_edits import MODEL, PROSE, EditError, Edits, apply_edits
from infra.inspect.outcomes import ComparedPair
from infra.nats.lookup import Lookup
from infra.nats.steps import LoggedSteps
from infra.replay import marks
from infra.replay.rerun_estimate import RequestUsage, find_usage

if TYPE_CHECKING:
    from understudy_client import Result, Submitted

    from contracts.events import Drafted, Structured
    from infra.inspect.comparison import RequestOutcome
    from infra.nats.multiplexer import RequestMultiplexer

#: A job's name; it is part of every id.
_JOB: Final = re.compile(r"[A-Za-z0-9]{1,24}")
#: Seconds until a shadow that the broker does not accept is published again.
_BUSY_S: Final = 0.5
#: Longest id of a shadow: a plot's has room for those of its scenes.
_LONGEST: Final = 60
#: Stored steps in flight.
_AT_ONCE: Final = 32


class RerunClient(Protocol):
    """What a rerun needs of :class:`infra.app.pipeline_client.PipelineClient`."""

    wire: RequestMultiplexer

    async def submit(self, kind: str, *, body: bytes, request_id: str) -> Submitted:
        """Publish a request, once."""
        ...

    async def wait(self, request: str, *, kind: str | None = None, timeout_s: float | None = None) -> Result:
        """Wait for a request's result."""
        ...

    def timeout_s(self, checked: request.GenerationRequest) -> float:
        """Seconds within which a request's result should come."""
        ...


class RerunError(UnderstudyError):
    """A job that cannot be named so, or whose ids belong to another rerun."""


class Rerun(msgspec.Struct, frozen=True, kw_only=True):
    """One shadow that is published."""

    original: str
    request_id: str
    kind: str
    body: bytes
    #: What the same stages took for the original; ``None``: a model did not write it, or the figures are not known.
    usage: RequestUsage | None = None
    #: It is a plot whose scenes are generated too.
    scenes: bool = False

    @property
    def pair(self) -> ComparedPair:
        """The original and its shadow."""
        return ComparedPair(a=self.original, b=self.request_id)


class NotRerun(msgspec.Struct, frozen=True, kw_only=True):
    """A request that cannot be run again."""

    original: str
    reason: str


class RerunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The shadows of a job, in the order of their originals."""

    job: str
    items: tuple[Rerun, ...]
    refused: tuple[NotRerun, ...]

    @property
    def pairs(self) -> tuple[ComparedPair, ...]:
        """Each original with its shadow."""
        return tuple(each.pair for each in self.items)


class RerunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a rerun does differently."""

    edits: Edits = Edits()
    #: The first stage that works, with what the stages before it stored; ``None``: all of them.
    from_stage: StartStage | None = None
    #: The provider that :attr:`Edits.model` means.
    provider: str | None = None


def make_job_name(now_s: float) -> str:
    """A name for a rerun that begins now: the time in UTC, to the tenth of a second.

    Args:
        now_s: seconds since the epoch.
    """
    return f"{datetime.fromtimestamp(now_s, UTC):%y%m%dT%H%M%S}{int(now_s * 10) % 10}"


def check_job(job: str) -> None:
    """Refuse a name that cannot be part of ids.

    Raises:
        RerunError: naming the characters that are allowed.
    """
    if _JOB.fullmatch(job) is None:
        raise RerunError(f"job {job!r} must be 1 to 24 letters and digits")


def check_options(options: RerunOptions) -> None:
    """Refuse edits that have no effect on the stages that work.

    Raises:
        EditError: naming the key.
    """
    if options.from_stage is None:
        return
    idle = [each.key for each in options.edits.fields if each.path[0] in PROSE]
    if options.from_stage == "validate-repair" and options.edits.model:
        idle.append(MODEL)
    if idle:
        raise EditError(
            f"{', '.join(idle)} has no effect from {options.from_stage} on: start earlier, or leave it out"
        )


async def plan(
    wire: RequestMultiplexer,
    ids: Sequence[str],
    known: Mapping[str, RequestOutcome],
    options: RerunOptions,
    *,
    job: str,
) -> RerunPlan:
    """Plan the shadows of past requests; nothing is published.

    Args:
        wire: an open wire.
        ids: the originals.
        known: what is known of them, by id.
        options: what the rerun does differently.
        job: its name.

    Raises:
        RerunError, EditError: the job or the options cannot be.
        Unavailable: the broker does not answer.
    """
    check_job(job)
    check_options(options)
    steps = await _steps(wire, list(known), options.from_stage)
    items: list[Rerun] = []
    refused: list[NotRerun] = []
    for original in dict.fromkeys(ids):
        made = _plan_one(original, known.get(original), options, job=job, step=steps.get(original))
        if isinstance(made, Rerun):
            items.append(made)
        else:
            refused.append(made)
    return RerunPlan(job=job, items=tuple(items), refused=tuple(refused))


async def run(
    client: RerunClient,
    items: Sequence[Rerun],
    *,
    in_flight: int,
    on_result: Callable[[Rerun], object] | None = None,
) -> None:
    """Publish shadows and wait for their results, some at a time; those that exist already are waited for.

    A few at a time: shadows use the same models as requests that somebody waits for.

    Args:
        client: a connected client.
        items: what to publish.
        in_flight: shadows without a result at a time.
        on_result: called after each result.

    Raises:
        RerunError: an id belongs to another rerun.
        NoResult, BrokerLost, Unavailable, ClientError: as :meth:`understudy_client.Client.submit` and ``wait``.
    """
    waiting = list(reversed(items))

    async def work() -> None:
        while waiting:
            item = waiting.pop()
            await publish(client, item)
            timeout_s = client.timeout_s(request.read(item.body, item.kind))
            await client.wait(item.request_id, kind=item.kind, timeout_s=timeout_s)
            if on_result is not None:
                on_result(item)

    workers = [asyncio.create_task(work()) for _ in range(min(in_flight, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        await end_tasks(*workers)


async def publish(client: RerunClient, item: Rerun) -> None:
    """Publish one shadow, once; while the pipeline accepts no requests, wait.

    Raises:
        RerunError: its id belongs to another rerun.
        Unavailable, ClientError: as :meth:`understudy_client.Client.submit`.
    """
    from understudy_client import Busy, IdTaken  # noqa: PLC0415 - needs the connection's libraries

    # Before the request: a stage may look for it as soon as that is there.
    mark = marks.build(item.request_id, letter=None, replay_of=item.original, body=item.body)
    taken = await marks.leave(client.wire, [mark])
    while not taken:
        try:
            await client.submit(item.kind, body=item.body, request_id=item.request_id)
        except Busy:
            await asyncio.sleep(_BUSY_S)
        except IdTaken:
            break
        else:
            return
    raise RerunError(
        f"{item.request_id} was run with other changes: name another job, or repeat the changes of this one"
    )


def _plan_one(
    original: str,
    outcome: RequestOutcome | None,
    options: RerunOptions,
    *,
    job: str,
    step: Drafted | Structured | None,
) -> Rerun | NotRerun:
    if outcome is None or outcome.body is None:
        return NotRerun(original=original, reason="neither the log nor the audit has its body (any more)")
    if is_redacted(str(outcome.body.get("prompt", ""))):
        return NotRerun(
            original=original,
            reason="the audit keeps no words (audit.store_prompts is off), and the log has forgotten it",
        )
    if options.from_stage is not None and step is None:
        event = INPUT_OF[options.from_stage]
        return NotRerun(original=original, reason=f"its {event} is not in the log (any more)")
    request_id = make_shadow_id(job, original)
    try:
        body = msgspec.json.encode(_compose(original, outcome, options))
        asked = request.read(body, outcome.kind)
        scenes.check_id(asked, request_id)
    except (EditError, request.RequestError) as error:
        return NotRerun(original=original, reason=str(error))
    usage = find_usage(outcome, step)
    return Rerun(
        original=original,
        request_id=request_id,
        kind=outcome.kind,
        body=body,
        usage=usage,
        scenes=asked.scenes,
    )


def make_shadow_id(job: str, original: str) -> str:
    """The id of the shadow of a request in a job; it contains the original's id where there is room."""
    plain = f"{subjects.SHADOW}{job}-{original}"
    if len(plain) <= _LONGEST:
        return plain
    return f"{subjects.SHADOW}{job}-{hashlib.sha256(original.encode()).hexdigest()[:32]}"


def _compose(original: str, outcome: RequestOutcome, options: RerunOptions) -> dict[str, Any]:
    """The body of a shadow: the original's with the edits, and the seed that the original had."""
    fields = {name: value for name, value in (outcome.body or {}).items() if to_snake(name) not in DESCENT}
    result = outcome.result
    if (
        options.from_stage is None
        and fields.get("seed") is None
        and result is not None
        and result.meta.seed is not None
    ):
        # Otherwise another prompt would get another seed, and the difference would say nothing about the prompt.
        fields["seed"] = result.meta.seed
    fields = apply_edits(fields, options.edits)
    fields |= {"replay_of": original, "shadow": True}
    if options.from_stage is not None:
        fields["from_stage"] = options.from_stage
    if options.provider is not None:
        fields["provider"] = options.provider
    return fields


async def _steps(
    wire: RequestMultiplexer, ids: Sequence[str], from_stage: StartStage | None
) -> dict[str, Drafted | Structured | None]:
    if from_stage is None:
        return {}
    stored, room = LoggedSteps(Lookup(wire)), asyncio.Semaphore(_AT_ONCE)

    async def find(request_id: str) -> Drafted | Structured | None:
        async with room:
            return await stored.find(INPUT_OF[from_stage], request_id)

    return dict(zip(ids, await asyncio.gather(*map(find, ids)), strict=True))
