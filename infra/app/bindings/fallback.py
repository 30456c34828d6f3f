"""Fallback."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stages.context_build.layering import overrides
from stages.fallback.handle import handle
from stages.fallback.plan import planner

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports.

    Raises:
        UnderstudyError: samples that cannot be used.
    """
    adapters = ports.adapters
    return partial(
        handle,
        log=adapters.lookup,
        scene_log=adapters.scene_log,
        samples=ports.samples,
        contents=ports.contents,
        plan_of=planner(
            templates=ports.templates,
            overrides=overrides,
            worlds=ports.worlds,
            default_deadline_ms=ports.settings.deadline_ms,
        ),
        replays=adapters.replays,
        experiments=ports.experiments,
    )
