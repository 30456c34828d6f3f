"""What the stages of one process share: files, content kinds and providers, each read when the first of them asks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from contracts import pipeline
from contracts.content.registry import Registry
from contracts.errors import Misconfigured
from contracts.experiments import NO_EXPERIMENTS
from infra.app import experiment_plans
from infra.app.schema_checks import CheckedContents
from infra.providers.names import helper_chains
from infra.providers.routing import build_providers, refused_schemas
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import worlds as world_store
from infra.telemetry.process_events import ExperimentsUnreadable, WorldsLeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contracts.experiments import Experiments
    from contracts.policy.social import Worlds
    from contracts.ports import Contents, Provider, Samples, Templates
    from infra.app.adapters import Adapters
    from infra.providers.routing import ProviderSet
    from infra.settings.settings import Settings


class StagePorts:
    """Ports that more than one stage has.

    Where context-build runs, a file that cannot be used ends the start; the fallback answers without it.

    Args:
        settings: this process's settings.
        stages: names of the stages that run.
        adapters: the adapters of this process.
    """

    def __init__(self, settings: Settings, stages: tuple[str, ...], adapters: Adapters) -> None:
        self.settings = settings
        self.adapters = adapters
        self._stages = stages
        self._strict = "context-build" in stages

    @cached_property
    def contents(self) -> Contents:
        """The content kinds."""
        refuses = refused_schemas(self.settings)
        return CheckedContents(
            Registry(refuses=refuses), self.adapters.schema_worker, grammar=refuses is not None
        )

    @cached_property
    def samples(self) -> Samples:
        """The golden samples."""
        return sample_store.load(*self.settings.sample_folders)

    @cached_property
    def templates(self) -> Templates:
        """The node templates; the fallback reports in the result that it cannot read one."""
        return template_store.load(self.settings.templates_dir, strict=self._strict)

    @cached_property
    def worlds(self) -> Worlds:
        """The worlds; without them the fallback answers at sfw."""
        try:
            return world_store.load(self.settings.worlds_dir)
        except world_store.WorldError as error:
            if self._strict:
                raise
            self.adapters.telemetry.emit(WorldsLeftOut(stages=self._stages, problem=str(error)))
            return world_store.WorldStore({})

    @cached_property
    def experiments(self) -> Experiments:
        """The experiments; without them results that have no brief are in no arm."""

        def tell(problem: str) -> None:
            self.adapters.telemetry.emit(ExperimentsUnreadable(problem=problem))

        try:
            return experiment_plans.open_store(self.settings, on_problem=tell)
        except Misconfigured as error:
            if self._strict:
                raise
            tell(str(error))
            return NO_EXPERIMENTS

    @cached_property
    def routed(self) -> ProviderSet | None:
        """The providers; ``None``: no stage of this process calls one."""
        if not pipeline.EXPENSIVE & set(self._stages) and not self._helping:
            return None
        adapters = self.adapters
        return build_providers(
            self.settings,
            accounts=adapters.accounts,
            on_made=adapters.providers.append,
            on_guarded=adapters.breakers.append,
            telemetry=adapters.telemetry,
            ahead=adapters.reservations,
            responses=adapters.responses,
            stages=self._stages,
        )

    @property
    def _helping(self) -> bool:
        """Whether a stage of this process has a helper task that is on."""
        return any(task in pipeline.helpers(self._stages) for task, _ in helper_chains(self.settings))

    @property
    def by_task(self) -> Mapping[str, Provider]:
        """The provider of each helper task; without those that are off."""
        return {} if self.routed is None else self.routed.by_task

    @property
    def by_kind(self) -> Mapping[str, Provider]:
        """The provider of each kind."""
        return {} if self.routed is None else self.routed.by_kind

    @property
    def named(self) -> Callable[[str], Provider] | None:
        """Finds a provider by its name; ``None``: model calls are off."""
        return self.routed.find if self.routed is not None and self.by_kind else None
