"""State of the providers: what ``understudy models check`` finds, their circuit breakers, and their last errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from infra.app import model_checks, process_pages
from infra.app.model_checks import ModelReport, ModelRow
from infra.app.process_pages import ProcessCircuit
from infra.inspect.provider_errors import ProviderFailure

if TYPE_CHECKING:
    from infra.settings.settings import Settings


class ProviderState(ModelRow, frozen=True, kw_only=True):
    """A provider that routes name."""

    #: One for each process and task that calls it, those of writing first.
    circuits: tuple[ProcessCircuit, ...] = ()
    #: The last request of a day that ended with an error after a call of this provider.
    last_error: ProviderFailure | None = None


class ProviderReport(ModelReport, frozen=True, kw_only=True):
    """All providers and kinds."""

    models: tuple[ProviderState, ...]
    #: ``False``: the gateway does not see the metrics of all processes, so ``circuits`` are empty.
    circuits_known: bool


async def read_providers(settings: Settings, errors: Mapping[str, ProviderFailure]) -> ProviderReport:
    """The state of every provider; servers are asked what they have, no model is called.

    Args:
        settings: this process's settings.
        errors: the last error of each, by name.
    """
    report, pages = await asyncio.gather(
        model_checks.examine(settings), asyncio.to_thread(process_pages.fetch_pages, settings.data_dir)
    )
    circuits = () if pages is None else process_pages.read_circuits(pages)
    models = tuple(
        ProviderState(
            **msgspec.structs.asdict(row),
            circuits=tuple(
                sorted(
                    (each for each in circuits if each.provider == row.provider), key=lambda each: each.task
                )
            ),
            last_error=errors.get(row.provider),
        )
        for row in report.models
    )
    return ProviderReport(
        ok=report.ok,
        enabled=report.enabled,
        models=models,
        kinds=report.kinds,
        unserved=report.unserved,
        circuits_known=pages is not None,
    )
