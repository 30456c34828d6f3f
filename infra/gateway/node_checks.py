"""Checks of stored nodes before they are used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from infra.app.node_desk import pointer_of
from infra.gateway.design_bodies import invalid

if TYPE_CHECKING:
    from infra.gateway.gateway import Gateway


async def require_sound(gateway: Gateway, name: str, content: str) -> None:
    """Refuse a node with errors.

    Raises:
        Problem: 422, with each error.
    """
    report = (await asyncio.to_thread(gateway.nodes.judge, content)).report
    if report.ok:
        return
    raise invalid(
        f"the node {name!r} has errors: {report.errors[0]}",
        [(pointer_of(each.path), f"{each.code} {each.message}; {each.suggestion}") for each in report.errors],
    )
