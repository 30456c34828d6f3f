"""Context-build."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from infra.app.context_ports import brief_ports
from infra.stores import prompts
from stages.context_build.handle import handle
from stages.context_build.single_flight import SingleFlight

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports.

    Raises:
        UnderstudyError: samples, prompts, templates, worlds, experiments or settings that cannot be used.
    """
    settings, adapters = ports.settings, ports.adapters
    return partial(
        handle,
        brief=brief_ports(
            settings,
            contents=ports.contents,
            samples=ports.samples,
            prompts=prompts.load(*settings.prompt_folders),
            templates=ports.templates,
            worlds=ports.worlds,
            experiments=ports.experiments,
        ),
        flights=SingleFlight(
            cache=adapters.cache,
            leases=adapters.leases,
            results=adapters.results,
            count=adapters.cache_stats.count,
            clock=adapters.clock.now_ms,
        ),
        scene_log=adapters.scene_log,
        scenes_in_flight=settings.scenes_in_flight,
        replays=adapters.replays,
        steps=adapters.steps,
        clock=adapters.clock.now_ms,
    )
