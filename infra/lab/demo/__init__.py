"""Demo: one request from publication to a replayed dead letter.

Self-contained: a temporary data folder and broker.  Everything it prints
is read back from the broker or the audit and checked; if a check fails, it exits 1.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nats import errors as nats_errors
from rich.markup import escape
from rich.panel import Panel
from understudy_client import ClientError

from contracts.errors import UnderstudyError, error_text
from infra.app import foreground
from infra.lab.demo import fallback, live
from infra.lab.demo.scene import DemoStage

if TYPE_CHECKING:
    from rich.console import Console

    from infra.settings.settings import Settings


async def play(out: Console, *, with_model: bool, stay: bool = False) -> int:
    """Play the demo; the exit status.

    Args:
        out: the output stream.
        with_model: the demo's model writes first; otherwise golden samples answer.
        stay: go on with what was played, until Ctrl-C, so that the console shows it.

    Raises:
        UnderstudyError: that model is not installed, or its files cannot be used.
    """
    if with_model:
        live.require_model()
    began = time.perf_counter()
    stage = DemoStage(out)
    out.print(
        Panel(
            "A request in, exactly one labelled result out: stages on a real nats-server, in a "
            "temporary folder. A [green]✓[/] marks a passed check.",
            title="Understudy",
            title_align="left",
        )
    )
    folder = Path(tempfile.mkdtemp(prefix="understudy-demo-"))
    try:
        await (live if with_model else fallback).play(stage, folder)
    except (UnderstudyError, ClientError, TimeoutError, OSError, nats_errors.Error) as error:
        seconds = time.perf_counter() - began
        stage.claim(escape(f"{stage.step}: failed after {seconds:.0f} s: {error_text(error)}"), holds=False)
    out.print()
    if stage.failed:
        out.print(f"[bold red]{len(stage.failed)} of {stage.checked} checks failed[/]")
        logs = _logs(folder)
        out.print(
            f"The stages' output is above; the broker's log: {', '.join(map(str, logs))}"
            if logs
            else "The stages' output is above; the broker has no log yet.",
            soft_wrap=True,
        )
        return 1
    seconds = time.perf_counter() - began
    passed = f"[bold green]All {stage.checked} checks passed[/], in {seconds:.1f} s."
    try:
        if stay:
            out.print(f"{passed} Starting once more, with all that was played.")
            await _stay(out, (live if with_model else fallback).make_settings(folder))
        else:
            up = live.UP if with_model else "understudy up"
            out.print(
                f"{passed} Now yours: [bold]{up}[/], and in another terminal [bold]understudy request "
                '"a forest with three coins" --kind layout --wait[/]. It prints the address of the console; with '
                "[bold]--stay[/] the demo leaves its own one running.",
                soft_wrap=True,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _stay(out: Console, settings: Settings) -> None:
    def say(ready: dict[str, Any]) -> None:
        out.print(
            f"The demo's requests are in the console: [bold]{ready['http_url']}[/]; Ctrl-C ends it and deletes them.",
            soft_wrap=True,
        )

    await foreground.up(settings, on_ready=say)


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.log"))
