"""Accounts of budgets as JSON, for the command line and the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.policy.budget import NANOS, Cap, Spent
from contracts.timestamp import format_ms

if TYPE_CHECKING:
    from contracts.policy.budget_scope import Limits
    from infra.nats.accounts import LiveAccount


def to_json(kept: LiveAccount, now_ms: int) -> dict[str, Any]:
    """An account: its owner, cap, spent and reserved amounts, and when its next window opens."""
    said, account = kept.named, kept.account
    spent, reserved = divide_used(kept, now_ms)
    return {
        "scope": said.scope,
        "workspace": said.workspace,
        "node": said.node,
        "always": said.rate,
        "window_s": said.window_ms // 1000,
        "opens_again": format_ms(said.ends_ms, "seconds"),
        "cap": _figures(account.cap),
        "spent": _figures(spent),
        "reserved": _figures(reserved),
    }


def divide_used(kept: LiveAccount, now_ms: int) -> tuple[Spent, Spent]:
    """Spent and reserved amounts; a started generation counts as spent."""
    reserved = kept.account.reserved(now_ms)
    return (reserved, kept.account.spent) if kept.named.rate else (kept.account.spent, reserved)


def limits_to_json(limits: Limits) -> dict[str, Any]:
    """The caps that the settings name, for each total, workspace and node; ``None``: no cap."""
    return {
        "window_s": limits.window_ms // 1000,
        "total": _figures(limits.total),
        "workspace": _figures(limits.workspace),
        "node": _figures(limits.node),
        "always_workspace": _figures(limits.always_workspace),
        "always_node": _figures(limits.always_node),
    }


def _figures(value: Cap | Spent) -> dict[str, Any]:
    cost = None if value.nanos is None else value.nanos / NANOS
    return {"tokens": value.tokens, "cost": cost, "generations": value.generations}
