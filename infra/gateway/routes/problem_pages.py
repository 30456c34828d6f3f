"""`/problems/{slug}`: what each type of problem means; the `type` of a problem is its address."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from contracts.errors import ErrorCode
from infra.gateway import documents
from infra.gateway.answers import json_answer
from infra.gateway.problems import TYPES, TYPES_PATH, not_found, title_of

router: Final = APIRouter(prefix=TYPES_PATH, tags=["problems"])


@router.get(
    "/{slug}",
    summary="What a type of problem means",
    responses=documents.PROBLEM_TYPE | documents.problems(404),
)
async def explain(slug: str) -> Response:
    """Title and meaning of a type of problem."""
    if slug in TYPES:
        said = TYPES[slug][1]
    elif slug in set(ErrorCode):
        said = f"The error code {slug} of the pipeline; docs/glossary.md and `understudy why ID` say more."
    else:
        raise not_found(f"type of problem {slug!r}")
    return json_answer({"type": f"{TYPES_PATH}/{slug}", "title": title_of(slug), "detail": said})
