"""Plan of an evaluation run: the requests of a set as they are published, and what the pipeline would reject of them."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import subjects
from contracts.outcome import Fail, Reject
from contracts.request import RequestError
from infra.app import kind_choice
from infra.app.context_ports import load_ports, unsent
from infra.app.pipeline_client import check
from infra.stores.evaluation_sets import EvaluationCase, EvaluationSet, EvaluationSetError
from stages.context_build.handle import BriefPorts, build

if TYPE_CHECKING:
    from infra.settings.settings import Settings

#: First characters of the id of every request of a run; no job of reruns can have a name that makes such ids.
PREFIX: Final = f"{subjects.SHADOW}evaluation_run-"
#: Most requests of one run, and most repeats of a case.
MAX_REQUESTS: Final = 2_000
MAX_REPEAT: Final = 100
#: What a request of a run says that it repeats: there is no earlier request.
_REPEATED: Final = "evaluation:"
#: An id of the longest form, for checks.
_ANY_TOKEN: Final = "0" * 12
_SEED_BYTES: Final = 7


class PlannedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a run."""

    case: EvaluationCase
    #: Which of the case's repeats, from 1.
    repeat: int
    kind: str
    #: A shadow, which no subscriber, cache or statistic sees.
    body: bytes
    #: What it says that it repeats.
    replay_of: str

    def request_id(self, token: str, position: int) -> str:
        """Its id in a run with a token."""
        return f"{PREFIX}{token}-{position}"


def plan_run(settings: Settings, evaluated: EvaluationSet, *, repeat: int = 1) -> tuple[PlannedRequest, ...]:
    """The requests of a run: all cases, then all of them again.

    Args:
        settings: those of the pipeline.
        evaluated: the set.
        repeat: how often each case runs.

    Raises:
        EvaluationSetError: naming the file, and each case that the pipeline would reject, with field and fix.
        UnderstudyError: samples, prompts, templates or settings that cannot be used.
    """
    if repeat * len(evaluated.cases) > MAX_REQUESTS:
        raise EvaluationSetError(
            f"{evaluated.file}: {len(evaluated.cases)} cases, {repeat} times each, are more than {MAX_REQUESTS:,} "
            "requests; repeat them less often"
        )
    faults: list[str] = []
    planned: list[PlannedRequest] = []
    for case in evaluated.cases:
        try:
            planned += [_plan(settings, evaluated, case, each) for each in range(1, repeat + 1)]
        except RequestError as error:
            faults.append(f"case {case.name}: {error}")
    if not faults:
        first = [each for each in planned if each.repeat == 1]
        faults = asyncio.run(_find_rejected(first, load_ports(settings)))
    if faults:
        raise EvaluationSetError("\n".join(f"{evaluated.file}: {each}" for each in faults))
    return tuple(sorted(planned, key=lambda each: each.repeat))


def _plan(settings: Settings, evaluated: EvaluationSet, case: EvaluationCase, repeat: int) -> PlannedRequest:
    body = dict(case.request)
    if repeat > 1:
        body["seed"] = _make_seed(case, repeat)
    kind = case.kind or kind_choice.choose_kind(
        msgspec.json.encode(body), templates=lambda: settings.templates_dir
    )
    original = f"{_REPEATED}{evaluated.name}"
    encoded = msgspec.json.encode(body | {"replay_of": original, "shadow": True})
    check(kind, f"{PREFIX}{_ANY_TOKEN}-{MAX_REQUESTS}", encoded)
    return PlannedRequest(case=case, repeat=repeat, kind=kind, body=encoded, replay_of=original)


def _make_seed(case: EvaluationCase, repeat: int) -> int:
    """The seed of a further repeat: the same in every run, so that runs are paired."""
    digest = hashlib.sha256(f"{case.digest} {repeat}".encode()).digest()
    return int.from_bytes(digest[:_SEED_BYTES], "big")


async def _find_rejected(planned: list[PlannedRequest], ports: BriefPorts) -> list[str]:
    faults: list[str] = []
    for each in planned:
        # Without what makes it a shadow, which needs a mark.
        fields: dict[str, Any] = msgspec.json.decode(each.body)
        body = msgspec.json.encode(
            {name: value for name, value in fields.items() if name not in ("replay_of", "shadow")}
        )
        outcome = await build(unsent(each.kind, body, now_ms=0), ports)
        if isinstance(outcome, Reject | Fail):
            faults.append(f"case {each.case.name}: {outcome.message}")
    return faults
