"""Validate-repair."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contracts.helper_tasks import EVALUATION
from contracts.kinds import KINDS
from infra.app.schema_forms import schema_forms
from infra.stores import rubrics, vocabulary, word_lists
from stages.validate_repair.handle import handle
from stages.validate_repair.judge import DocumentJudge, JudgeLimits
from stages.validate_repair.quality import QualityGate

if TYPE_CHECKING:
    from infra.app.stage_ports import StagePorts
    from infra.runner.execution import Handle


def bind(ports: StagePorts) -> Handle:
    """The handler with its ports.

    Raises:
        UnderstudyError: word lists, or a rubric, that cannot be used.
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
        judge=_judge(ports),
    )


def _judge(ports: StagePorts) -> DocumentJudge | None:
    """Scores valid documents; ``None``: evaluation is off."""
    settings, adapters = ports.settings, ports.adapters
    provider = ports.by_task.get(EVALUATION)
    if provider is None:
        return None
    wanted = settings.narrative.evaluation
    return DocumentJudge(
        provider=provider,
        rubric=rubrics.load(wanted.rubric),
        limits=JudgeLimits(
            timeout_s=wanted.timeout,
            max_tokens=wanted.max_tokens,
            share=wanted.share,
            at_once=wanted.max_at_once,
        ),
        clock=adapters.clock.now_ms,
        ended=adapters.results.wait,
    )
