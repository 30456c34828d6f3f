"""How is content asked for from a command line?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.events import Result
    from infra.client import Client

#: Requests under way at once with ``--count``.
IN_FLIGHT = 256


def request(
    prompt: Annotated[str | None, typer.Argument(help="What to generate.")] = None,
    kind: Annotated[str, typer.Option("--kind", help="Content kind.")] = "layout",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="BODY.json", help="The whole body; - for standard input.")
    ] = None,
    id: Annotated[str | None, typer.Option("--id", help="The request's id; none: a fresh one.")] = None,  # noqa: A002 - the option's name
    deadline_ms: Annotated[
        int | None, typer.Option("--deadline-ms", help="Answer by then, milliseconds.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and print it.")] = False,
    count: Annotated[int, typer.Option("--count", min=1, help="Send it this often, with ids of their own.")] = 1,
    json: Json = False,
) -> None:
    """Publish a request; with --wait, print its one result."""
    import msgspec

    from infra.client import check, new_id

    body = _body(prompt, file, deadline_ms)
    ids = [new_id() for _ in range(count)] if id is None else _numbered(id, count)
    asked = check(kind, ids[0], body)
    for one in ids[1:]:
        check_id(one)
    settings = console.settings()

    async def work() -> int:
        from infra.client import Client

        async with Client.connect(settings) as client:
            if count == 1:
                return await _one(client, kind, ids[0], body, wait=wait, json=json)
            from contracts.request import plan_fallback
            from infra.client import PATIENCE_S

            deadline_s = plan_fallback(asked, default_deadline_ms=settings.deadline_ms).deadline_ms / 1000
            return await _many(
                client, kind, ids, body, timeout_s=deadline_s + PATIENCE_S if wait else None, json=json
            )

    del msgspec
    console.run(work())
