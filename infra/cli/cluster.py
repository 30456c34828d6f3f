"""`understudy topology cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json


def topology_cluster(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the servers' configurations, logs and stores.")
    ],
    sync: Annotated[
        str, typer.Option(metavar="always|DURATION", help="When writes reach the disk, such as always or 2m.")
    ] = "always",
    json: Json = False,
) -> None:
    """Run a cluster of three nats-servers on this machine, to try what happens when one is lost; until Ctrl-C."""

    async def work() -> int:
        from infra.app import cluster_run

        await cluster_run.run(
            folder,
            sync_interval=sync,
            on_ready=console.emit if json else _say_ready,
            on_end=lambda name, status: console.note(f"{name} ended with status {status}, starting again"),
        )
        return console.DONE

    console.run(work())


def _say_ready(ready: dict[str, Any]) -> None:
    from rich.text import Text

    console.listed(
        (
            *(Text(f"{each['name']}  {each['url']}  process {each['pid']}") for each in ready["nodes"]),
            Text(""),
            Text("Ctrl-C stops the cluster. In another terminal:"),
            Text(f"  export UNDERSTUDY_NATS_URL={ready['nats_url']}"),
            Text(f"  export UNDERSTUDY_BROKER__REPLICAS={ready['replicas']}"),
            Text("  understudy up"),
        )
    )
