"""Freeform-gen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contracts.helper_tasks import ENHANCEMENT
from infra.app.enhancement import enhancer_limits
from stages.freeform_gen.enhancer import Enhancer
from stages.freeform_gen.handle import handle

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports.

    Raises:
        UnderstudyError: providers, or instructions of enhancement, that cannot be used.
    """
    return partial(
        handle,
        providers=ports.by_kind,
        named=ports.named,
        announce=ports.adapters.announce,
        release=ports.adapters.reservations.release,
        enhancer=_enhancer(ports),
    )


def _enhancer(ports: StagePorts) -> Enhancer | None:
    """Rewrites drafts or wishes; ``None``: enhancement is off."""
    provider = ports.by_task.get(ENHANCEMENT)
    if provider is None:
        return None
    return Enhancer(
        provider=provider, limits=enhancer_limits(ports.settings), clock=ports.adapters.clock.now_ms
    )
