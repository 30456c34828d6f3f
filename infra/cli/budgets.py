"""`understudy budgets`: accounts of the current windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from infra.nats.accounts import LiveAccount

app: Final = typer.Typer(no_args_is_help=True, help="Budgets of provider calls and their use.")


@app.callback()
def _group() -> None:
    """Keep ``ls`` a command of its own."""


@app.command("ls")
def ls(json: Json = False) -> None:
    """List the budgets of the current windows: cap, spent, reserved, and when the next window opens.

    A budget appears after its first call.
    """
    import time

    settings = console.settings()

    async def work() -> int:
        from infra.inspect import budget_accounts
        from infra.nats import accounts

        now_ms = int(time.time() * 1000)
        async with console.connect(settings) as client:
            kept = await accounts.current(client.wire, now_ms)
        if json:
            console.emit([budget_accounts.to_json(each, now_ms) for each in kept])
            return console.DONE
        if not kept:
            console.people().print("no budget has been used in a window that is open now")
            return console.DONE
        from infra.cli.show import aligned

        head = ("budget", "cap", "spent", "reserved", "opens again")
        console.listed(aligned(head, [_cells(each, now_ms) for each in kept]))
        return console.DONE

    console.run(work())


def _cells(kept: LiveAccount, now_ms: int) -> tuple[str, ...]:
    from contracts.policy.budget_scope import format_amount, format_window
    from contracts.timestamp import format_ms
    from infra.inspect.budget_accounts import divide_used

    said, account = kept.named, kept.account
    capped: list[tuple[Any, int]] = [
        (unit, value)
        for unit in ("tokens", "nanos", "generations")
        if (value := getattr(account.cap, unit)) is not None
    ]
    spent, reserved = divide_used(kept, now_ms)
    return (
        said.owner,
        ", ".join(f"{format_amount(unit, value)} {format_window(said.window_ms)}" for unit, value in capped),
        ", ".join(format_amount(unit, getattr(spent, unit)) for unit, _ in capped),
        ", ".join(format_amount(unit, getattr(reserved, unit)) for unit, _ in capped),
        format_ms(said.ends_ms, "seconds"),
    )
