"""Time within which a request's result should come, with what its template and rules set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy_client.timeouts import MARGIN_S

from contracts import expansion, request


def seconds(asked: request.GenerationRequest, *, default_deadline_ms: int, templates: Path | None) -> float:
    """Seconds within which a request's result should come.

    Args:
        asked: a checked request.
        default_deadline_ms: deadline of requests that name none.
        templates: folder of the templates; ``None``: those that ship.
    """
    around = _around(asked, templates)
    plan = request.plan_fallback(asked, default_deadline_ms=default_deadline_ms, around=around)
    return plan.deadline_ms / 1000 + MARGIN_S


def _around(asked: request.GenerationRequest, folder: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """The layers of template and rules, which may set another deadline; loaded only where there are any."""
    if expansion.template_of(asked) is None and asked.rules is None:
        return {}
    from infra.stores import templates  # noqa: PLC0415 - as the docstring says
    from stages.context_build.layering import overrides  # noqa: PLC0415 - as above

    library = templates.load(folder or templates.FOLDER, strict=False)
    return expansion.expand(asked, templates=library, overrides=overrides).layers
