"""Audit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stages.audit.handle import handle

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports."""
    return partial(handle, store_prompts=ports.settings.audit.store_prompts)
