"""`understudy serve`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.settings.settings import Settings


def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; default: the setting gateway.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="Port; 0 for a free one; default: the setting gateway.port."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", hidden=True, help="Refused: the gateway is one process.")
    ] = None,
    json: Json = False,
) -> None:
    """Serve HTTP in this process, against a running broker, until Ctrl-C."""
    if workers is not None:
        raise console.Usage(
            "--workers is not possible: limits, streams and metrics belong to one process; run several gateways at "
            "different ports behind a proxy instead"
        )
    from infra.host import heartbeat

    os.umask(0o077)
    beats_to = heartbeat.inherited()
    try:
        _serve(_with_address(console.settings(), host, port), json=json, beats_to=beats_to)
    except Exception as error:
        if beats_to is not None and console.status_of(error) in {console.FAILED, console.USAGE}:
            console.emit({"problem": str(error)})
        raise


def _with_address(settings: Settings, host: str | None, port: int | None) -> Settings:
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings.model_copy(update={"gateway": settings.gateway.model_copy(update=given)})


def _serve(settings: Settings, *, json: bool, beats_to: int | None) -> None:
    from infra.host import heartbeat
    from infra.telemetry import logging

    logging.configure(settings)

    def say(ready: dict[str, Any]) -> None:
        if beats_to is not None:
            console.emit({"metrics": ready["metrics"]})
            console.emit({"http_url": ready["http_url"]})
        if json:
            console.emit(ready)
        else:
            console.people().print(f"[bold green]listening[/] at {ready['http_url']}; Ctrl-C ends it")

    async def work() -> int:
        from infra.gateway import server

        async with heartbeat.beating(beats_to):
            return await server.serve(settings, on_ready=say)

    console.run(work())
