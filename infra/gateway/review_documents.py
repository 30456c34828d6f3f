"""Documents: what OpenAPI says of reviews."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from infra.app.review_candidates import ReviewCandidates
from infra.app.review_desk import ReviewItem, ReviewOutcome, ReviewQueue
from infra.app.review_promotion import PromotedResult
from infra.inspect.review_report import ReviewReport

Responses = dict[int | str, dict[str, Any]]

_SCHEMAS: Final = "#/components/schemas"


def _answer(said: str, name: str, *, status: int = 200) -> Responses:
    schema = {"$ref": f"{_SCHEMAS}/{name}"}
    return {status: {"description": said, "content": {"application/json": {"schema": schema}}}}


QUEUE: Final = _answer("The next item, without a word of what wrote it.", "ReviewQueue")
OUTCOME: Final = _answer("What the item was, if it was scored.", "ReviewOutcome")
REOPENED: Final = _answer("The item, which is open again.", "ReviewItem")
REPORT: Final = _answer("The report.", "ReviewReport")
CANDIDATES: Final = _answer("Results and samples.", "ReviewCandidates")
PROMOTED: Final = _answer("The golden sample.", "PromotedResult", status=201)
PROMOTABLE: Final = _answer("What it would be.", "PromotedResult")


def component_schemas() -> dict[str, Any]:
    """The schemas that the references of this module mean."""
    _, found = msgspec.json.schema_components(
        [ReviewQueue, ReviewOutcome, ReviewItem, ReviewReport, ReviewCandidates, PromotedResult],
        ref_template=f"{_SCHEMAS}/{{name}}",
    )
    return found
