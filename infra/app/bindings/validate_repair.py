"""Validate-repair."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contracts.kinds import KINDS
from infra.app.helper_ports import judge
from infra.app.schema_forms import schema_forms
from infra.stores import vocabulary, word_lists
from stages.validate_repair.handle import handle
from stages.validate_repair.quality import QualityGate

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports.

    Raises:
        UnderstudyError: word lists that cannot be used.
    """
    settings, adapters = ports.settings, ports.adapters
    return partial(
        handle,
        contents=ports.contents,
        explicitness=word_lists.load(settings.rating_words),
        gate=QualityGate(vocabulary=vocabulary.load_english(), bars=settings.quality.bar.by_kind(KINDS)),
        max_reasks=settings.max_reasks,
        accept_filled=settings.accept_filled,
        forms=schema_forms(ports.contents),
        ledger=adapters.ledger,
        cache=adapters.cache if settings.result_cache.enabled else None,
        replays=adapters.replays,
        judge=judge(settings, adapters, ports.routed),
    )
