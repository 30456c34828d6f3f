"""Freeform-gen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from infra.app.helper_ports import enhancer
from stages.freeform_gen.handle import handle

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports.

    Raises:
        UnderstudyError: providers that cannot be used.
    """
    return partial(
        handle,
        providers=ports.by_kind,
        named=ports.named,
        announce=ports.adapters.announce,
        release=ports.adapters.reservations.release,
        enhancer=enhancer(ports.settings, ports.adapters, ports.routed),
    )
