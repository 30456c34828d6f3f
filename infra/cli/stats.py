"""`understudy stats`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.inspect.stats import PipelineStats

#: Seconds between two looks of ``--watch``, and the pause as a multiple of the time that a look takes: a busy day has
#: 100,000 requests to read.
_EVERY_S: Final = 2.0
_PAUSE: Final = 10


class Window(StrEnum):
    """Windows whose groups a table can show."""

    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "24h"


def stats(
    window: Annotated[
        Window,
        typer.Option(
            "--window", metavar="5m|1h|24h", help="Window of the groups in the table; --json has all windows."
        ),
    ] = Window.HOUR,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Show the figures again and again, until Ctrl-C: every 2 seconds, or less often where reading them takes long.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show latency, success, stand-ins, errors, tokens and cost of the last 5 minutes, hour and day.

    The figures come from the audit: requests that have ended, by provider, content kind, stage and node. Rates and
    latencies leave out cancelled and rejected requests; shadow requests count nowhere. Percentiles are exact.
    """
    if not watch:
        _show(_collect(), window, json=json)
        return
    try:
        _watch(window, json=json)
    except KeyboardInterrupt:
        return


def _watch(window: Window, *, json: bool) -> None:
    import time

    from contracts.errors import UnderstudyError

    began_s = time.monotonic()
    found = _collect()
    took_s = time.monotonic() - began_s
    out = console.people()
    while True:
        if not json and out.is_terminal:
            out.clear()
        _show(found, window, json=json)
        while True:
            time.sleep(max(_EVERY_S, _PAUSE * took_s))
            began_s = time.monotonic()
            try:
                found = _collect()
                took_s = time.monotonic() - began_s
                break
            except UnderstudyError as error:
                # The database may be restarted meanwhile.
                console.note(str(error))


def _collect() -> PipelineStats:
    import time

    from infra.cli import audit_database
    from infra.inspect.stats import collect_stats, find_end

    now_ms = int(time.time() * 1000)
    return audit_database.read(lambda engine: collect_stats(engine, until_ms=find_end(engine, now_ms=now_ms)))


def _show(found: PipelineStats, window: Window, *, json: bool) -> None:
    if json:
        import msgspec

        console.emit(msgspec.to_builtins(found))
        return
    from infra.cli.stats_table import render

    out = console.people()
    for line in render(found, window, width=out.width if out.is_terminal else None):
        out.print(line, soft_wrap=not out.is_terminal)
