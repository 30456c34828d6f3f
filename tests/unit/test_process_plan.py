"""Process plan: which stages share a process, their priorities and copies, and the settings of a child."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.pipeline import STAGES
from infra.app.process_plan import SupervisorError, environment, plan
from infra.settings.settings import SettingsError, load


def test_by_default_fallback_and_audit_have_processes_of_their_own() -> None:
    assert [each.stages for each in plan()] == [
        ("freeform-gen", "structuring"),
        ("context-build", "validate-repair"),
        ("fallback",),
        ("audit",),
    ]


def test_answers_go_before_everything_else_on_a_small_machine() -> None:
    assert {each.name: each.nice for each in plan(copies={"fallback": 2})} == {
        "freeform-gen+structuring": 5,
        "context-build+validate-repair": 2,
        "fallback": 0,
        "audit": 10,
        "fallback#2": 0,
    }


def test_split_gives_each_stage_a_process() -> None:
    assert [each.stages for each in plan(split=True)] == [(stage,) for stage in STAGES]


def test_copies_count_in_all_and_are_processes_of_their_own() -> None:
    found = plan(copies={"audit": 3})
    assert [each.name for each in found][4:] == ["audit#2", "audit#3"]
    assert [each.stages for each in found][4:] == [("audit",), ("audit",)]


def test_no_copy_at_all_is_refused() -> None:
    with pytest.raises(SupervisorError, match="audit=0"):
        plan(copies={"audit": 0})


def test_copies_of_an_unknown_stage_are_refused() -> None:
    with pytest.raises(SettingsError, match="'writer' is unknown"):
        plan(copies={"writer": 2})


def test_a_child_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_BROKER__PORT", "1111")
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT", "elsewhere")
    own = load(
        data_dir=tmp_path,
        use_local_model=True,
        broker={"port": 2222},
        ack_wait=3.5,
        narrative={},
        script="s.json",
    )
    variables = environment(own, "nats://127.0.0.1:1", os.environ)
    for name in set(os.environ) - set(variables):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    theirs = load()
    assert theirs.model_dump() == {**own.model_dump(), "nats_url": "nats://127.0.0.1:1"}
