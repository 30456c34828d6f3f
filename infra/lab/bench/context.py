"""Cost of context-build per request, with and without versions and layers.

Context-build as it runs in its stage, without a broker, beside the shortest thing that somebody would write
instead: the request read with pydantic, the same prompt version compiled by Jinja for each request and rendered,
the prompt hashed; no layers, no rules, no checks.  They take turns, so that what else the machine does hits both.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contracts import pipeline
from contracts.content.registry import Registry
from contracts.envelope import Received, Requested
from contracts.outcome import Emit
from contracts.policy.prompts import PromptVersion
from contracts.request import GenerationRequest
from infra.app.context_ports import brief_ports
from infra.app.schema_checks import CheckedContents
from infra.authoring import workload
from infra.lab.bench.outcomes import percentile
from infra.settings.settings import Settings
from infra.stores import prompts as prompt_store
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import worlds as world_store
from stages.context_build.handle import build

#: Requests that one of the two handles before the other has them.
_TURN: Final = 100
_RULES: Final = (
    'IF player_choice.quest_accept == true\n  THEN moodTo = "determined" pacing = "fast"\n'
    'ELSE\n  THEN moodTo = "reflective" pacing = "slow"\n'
    'INCLUDE callback_to_scene("kiss")\nDURATION 20-40s TARGET 30s\nCONSTRAINT rating=PG-13 AVOID violence\n'
)


def run(settings: Settings, *, requests: int) -> dict[str, Any]:
    """Measure every case.

    Args:
        settings: where samples and templates are.
        requests: of each case; no two are equal.

    Returns:
        ``p50_ms``, ``p95_ms`` and ``cpu_p50_ms`` (processor time, which a busy machine falsifies less) of the
        slowest case, ``ratio`` (ours to the other, p50, the worst), and the figures of each case, where
        ``rendering_p50_ms`` is the part of ours that is spent on the prompt's text.

    Raises:
        RuntimeError: context-build refused one of them.
    """
    ours, theirs = _Ours(settings), _Theirs()
    cases: dict[str, Any] = {}
    for name, (kind, body_of) in _cases().items():
        bodies = [json.dumps(body_of(number)).encode() for number in range(_TURN + requests)]
        mine, other = _Took(), _Took()
        rendering: list[float] = []
        for start in range(0, len(bodies), _TURN):
            turn = bodies[start : start + _TURN]
            for body in turn:
                mine.add(ours, kind, body)
                rendering.append(ours.prompts.took * 1000)
            for body in turn:
                other.add(theirs, kind, body)
        cases[name] = {
            "p50_ms": mine.share(0.5),
            "p95_ms": mine.share(0.95),
            "cpu_p50_ms": mine.share(0.5, cpu=True),
            "rendering_p50_ms": round(percentile(sorted(rendering[_TURN:]), 0.5), 3),
            "uncompiled_p50_ms": other.share(0.5),
            "uncompiled_p95_ms": other.share(0.95),
            "ratio": round(mine.share(0.5) / other.share(0.5), 3),
        }
    worst = {
        each: max(case[each] for case in cases.values())
        for each in ("p50_ms", "p95_ms", "cpu_p50_ms", "ratio")
    }
    return {**worst, "requests": requests, "cases": cases}


class _Took:
    """Milliseconds that calls took; those of the first turn do not count."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._cpu: list[float] = []

    def add(self, handler: Callable[[str, bytes], object], kind: str, body: bytes) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        handler(kind, body)
        self._wall.append((time.perf_counter() - wall) * 1000)
        self._cpu.append((time.thread_time() - cpu) * 1000)

    def share(self, share: float, *, cpu: bool = False) -> float:
        return round(percentile(sorted((self._cpu if cpu else self._wall)[_TURN:]), share), 3)


def _cases() -> dict[str, tuple[str, Callable[[int], dict[str, Any]]]]:
    """Content kind of each case, and the body of its n-th request."""
    bridge = dict(workload.read(workload.THREE_SCENES.read_text(encoding="utf-8"))[0].body)

    def smallest(number: int) -> dict[str, Any]:
        return {"prompt": f"a forest with {number} coins"}

    def node(number: int) -> dict[str, Any]:
        return bridge | {"prompt": f"The phone rings {number} times."}

    def layered(number: int) -> dict[str, Any]:
        return {
            "prompt": f"They dance until {number} have gone.",
            "template_id": "romantic_to_action_transition_v1",
            "rules": _RULES,
            "player_context": {
                "playthrough_id": f"pt-{number}",
                "choices": {"quest_accept": number % 2 == 0, "gold": number},
            },
        }

    return {
        "smallest": ("layout", smallest),
        "node_and_scenes": ("transition", node),
        "template_rules_and_context": ("transition", layered),
    }


class _Clocked:
    """The prompt families, and the seconds of the last rendering."""

    def __init__(self, store: prompt_store.PromptStore) -> None:
        self.took = 0.0
        self.families = store.families
        self.versions = store.versions
        self._render = store.render

    def render(self, version: PromptVersion, values: Mapping[str, Any]) -> str:
        began = time.perf_counter()
        text = self._render(version, values)
        self.took = time.perf_counter() - began
        return text


class _Ours:
    def __init__(self, settings: Settings) -> None:
        self.prompts = _Clocked(prompt_store.load())
        self._ports = brief_ports(
            settings,
            contents=CheckedContents(Registry()),
            samples=sample_store.load(*settings.sample_folders),
            prompts=self.prompts,
            templates=template_store.load(settings.templates_dir),
            worlds=world_store.load(settings.worlds_dir),
        )

    def __call__(self, kind: str, body: bytes) -> None:
        handling = build(
            Received(
                event=Requested(body=body),
                name="requested",
                kind=kind,
                request_id="bench",
                stream=pipeline.REQUESTS,
                sequence=1,
                time_ms=1_800_000_000_000,
            ),
            self._ports,
        )
        try:
            # It waits for nobody: a loop around it would be measured too.
            handling.send(None)
        except StopIteration as ended:
            outcome = ended.value
        else:
            raise RuntimeError("context-build waits")
        if not isinstance(outcome, Emit):
            raise RuntimeError(f"context-build did not take {body.decode()}: {outcome}")  # noqa: TRY004


class _Theirs:
    def __init__(self) -> None:
        store = prompt_store.load()
        self._latest = {family: store.versions(family)[-1] for family in store.families()}
        self._environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)

    def __call__(self, kind: str, body: bytes) -> str:
        asked = GenerationRequest.model_validate_json(body)
        version = self._latest[kind]
        values = {name: each.default for name, each in version.variables.items()} | {"wish": asked.prompt}
        if asked.node is not None and asked.node.style is not None:
            values["pacing"] = asked.node.style.pacing
        text = self._environment.from_string(version.source).render(values)
        return hashlib.sha256(text.encode()).hexdigest()
