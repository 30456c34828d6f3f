"""Does everything that catches an error at the top say something, where the error itself says nothing?"""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from contracts.errors import UnderstudyError, error_text
from infra.cli import console
from infra.lab import demo
from infra.lab.demo import fallback, live, scene
from infra.lab.demo.scene import DemoError, DemoStage

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "text"),
    [(TimeoutError(), "TimeoutError"), (OSError(" "), "OSError"), (UnderstudyError("why"), "why")],
)
def test_an_error_without_words_is_told_by_its_name(error: Exception, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize("error", [TimeoutError(), UnderstudyError(), OSError(), TimeoutError("[why]")])
@pytest.mark.parametrize("with_model", [False, True])
async def test_a_demo_that_fails_names_step_seconds_and_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, *, with_model: bool
) -> None:
    async def fail(stage: DemoStage, home: Path) -> None:
        (home / "nats").mkdir()
        (home / "nats" / "nats-server.log").touch()
        stage.scene("3  The model's file is damaged")
        raise error

    monkeypatch.setattr(live if with_model else fallback, "play", fail)
    monkeypatch.setattr(live, "require_model", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = io.StringIO()
    assert await demo.play(Console(file=out, width=300), with_model=with_model) == 1
    told = out.getvalue()
    assert f"3  The model's file is damaged: failed after 0 s: {error_text(error)}" in told
    assert str(next(tmp_path.rglob("nats-server.log"))) in told


def test_a_command_that_fails_without_words_says_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: Any) -> None:
        raise UnderstudyError

    assert console.guarded(fail) == console.FAILED
    assert capsys.readouterr().err == "error: UnderstudyError\n"


def test_no_error_stands_where_a_text_is_asked_for() -> None:
    """An exception is always true: ``{error or ...}`` is the exception, however empty its text."""
    wrong = re.compile(r"\{(error|problem|why|exc|failure) or ")
    found = [
        str(path.relative_to(ROOT))
        for folder in ("contracts", "stages", "infra")
        for path in (ROOT / folder).rglob("*.py")
        if wrong.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


class Slow:
    """A supervisor whose processes load for a while, or for ever."""

    def __init__(self, looks: int) -> None:
        self.left = looks
        self.ready = asyncio.Event()
        self.pids = {"freeform-gen": 1}

    @property
    def processes(self) -> list[Any]:
        self.left -= 1
        if self.left == 0:
            self.ready.set()
        return [SimpleNamespace(name="freeform-gen", ready=self.ready.is_set())]

    async def start(self) -> None:
        await self.ready.wait()


async def test_loading_may_take_as_long_as_it_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "_LOOK_S", 0.001)
    monkeypatch.setattr(scene, "_STILL_S", 0.05)
    ticks = iter(range(10**6))
    monkeypatch.setattr(scene, "_processor_time", lambda _: next(ticks))
    heard: list[str] = []
    await scene._started(Slow(looks=100), say=heard.append)  # type: ignore[arg-type]
    assert heard[0] == "freeform-gen, 0 s"


async def test_what_stands_still_is_given_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "_LOOK_S", 0.001)
    monkeypatch.setattr(scene, "_STILL_S", 0.02)
    monkeypatch.setattr(scene, "_processor_time", lambda _: 5)
    with pytest.raises(DemoError, match="freeform-gen did nothing for 0 s and is not ready"):
        await scene._started(Slow(looks=10**9), say=lambda _: None)  # type: ignore[arg-type]
