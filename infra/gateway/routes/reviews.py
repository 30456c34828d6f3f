"""`/api/v1/reviews`: what a reviewer scores next, the scores, their undo, what they say, and promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from contracts.request import Label
from contracts.reviews import ReviewMode, ReviewScore
from infra.app import review_candidates, review_promotion
from infra.app.review_desk import ReviewDesk, ReviewQueue, read_user_name
from infra.app.review_promotion import PromotionRefused
from infra.gateway import documents, listing, review_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Gateway, Here
from infra.gateway.problems import Problem
from infra.gateway.routes.pictures import PICTURE, Theme, answer_picture
from infra.inspect import review_report
from infra.inspect.filter_conditions import check_text
from infra.inspect.request_filter import RequestFilter
from infra.inspect.review_grouping import ReviewGrouping
from infra.pictures.label import label_review
from infra.pictures.theme import PictureTheme
from infra.stores.reviews import ReviewConflict, ReviewRefused, ReviewUnknown

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")
router: Final = APIRouter(prefix="/api/v1/reviews", tags=["reviews"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
#: Scores decide what stands in.
_Reviewer = Annotated[Principal, require(AccessRole.DESIGNER)]
#: Samples are of all workspaces.
_Promoter = Annotated[Principal, require(AccessRole.OPERATOR, everywhere=True)]
_FILTER: Final = {"parameters": listing.filter_parameters()}
_QUEUE_BESIDE: Final = frozenset({"mode", "seed", "shadows"})
_REPORT_BESIDE: Final = frozenset({"by", "shadows"})


class ReviewOrder(BaseModel):
    """What a reviewer says about an item."""

    model_config = ConfigDict(extra="forbid")

    item: str = Field(min_length=1, max_length=32, description="Its name, as the queue gives it.")
    sides: list[ReviewScore] = Field(
        default=[],
        max_length=2,
        description="A score for what is shown; of a pair for left and right.",
        examples=[[{"score": 4, "tags": ["vivid"]}, {"score": 2}]],
    )
    skip: bool = Field(default=False, description="It is not scored, and does not come again.")

    @model_validator(mode="after")
    def _one_of_both(self) -> ReviewOrder:
        if self.skip == bool(self.sides):
            raise ValueError("give sides, with their scores, or skip")
        return self


class PromotionOrder(BaseModel):
    """Which result becomes a golden sample."""

    model_config = ConfigDict(extra="forbid")

    request_id: str = Field(min_length=1, max_length=255, description="The request.")
    name: str | None = Field(
        default=None,
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="Of the sample: `sample_NAME.json`; by default kind and hash.",
    )
    tags: tuple[Label, ...] = Field(
        default=(), max_length=32, description="Requests with one of these prefer it."
    )
    dry_run: bool = Field(default=False, description="Check everything; write nothing.")


@router.get(
    "/queue",
    summary="What to review next",
    responses=review_documents.QUEUE | documents.problems(422, 503),
    openapi_extra=_FILTER,
)
async def queue(
    request: Request,
    gateway: Here,
    principal: _Reviewer,
    mode: Annotated[ReviewMode, Query(description="One content, or two that can be compared.")] = (
        ReviewMode.SINGLE
    ),
    seed: Annotated[
        str | None, Query(max_length=64, description="Draws the order; by default the newest first.")
    ] = None,
) -> Response:
    """As `understudy review next --json`; the same item until it is scored or skipped."""
    where = _read_filter(request, gateway, principal, _QUEUE_BESIDE)
    now_ms = gateway.now_ms()
    reviewer = _name(principal)
    found = await _use(
        gateway,
        lambda engine: _desk(engine, principal).next(where, mode, seed=seed, now_ms=now_ms),
        missing=ReviewQueue(item=None, reviewer=reviewer, waiting=0, gone=0, scored=0),
    )
    return json_answer(found)


@router.get(
    "/items/{item}/picture",
    summary="A content under review, drawn",
    responses=PICTURE | documents.problems(404, 422, 503),
)
async def draw_side(
    item: Annotated[str, Path(max_length=32, description="The item, as the queue names it.")],
    request: Request,
    gateway: Here,
    principal: _Reviewer,
    side: Annotated[int, Query(ge=0, le=1, description="0: alone or on the left; 1: on the right.")] = 0,
    theme: Theme = PictureTheme.AUTO,
) -> Response:
    """The drawing says nothing of what wrote it."""
    found = await _use(gateway, lambda engine: _desk(engine, principal).find_side(item, side))
    return await answer_picture(request, found.kind, found.content, label_review(), theme)


@router.post(
    "",
    summary="Score an item, or skip it",
    responses=review_documents.OUTCOME | documents.problems(400, 404, 409, 413, 415, 422, 503),
)
async def decide(order: ReviewOrder, gateway: Here, principal: _Reviewer) -> Response:
    """As `understudy review score --json`: only then the answer has what wrote it.  The same once more changes nothing."""
    now_ms = gateway.now_ms()
    keeps_words = gateway.settings.audit.store_prompts
    scores = None if order.skip else order.sides
    found = await _use(
        gateway,
        lambda engine: _desk(engine, principal).decide(
            order.item, scores, keeps_words=keeps_words, now_ms=now_ms
        ),
    )
    return json_answer(found)


@router.post(
    "/undo",
    summary="Undo the last score",
    responses=review_documents.REOPENED | documents.problems(404, 503),
)
async def undo(gateway: Here, principal: _Reviewer) -> Response:
    """As `understudy review undo --json`: the item that was scored or skipped last is open again."""
    return json_answer(await _use(gateway, lambda engine: _desk(engine, principal).undo()))


@router.get(
    "/report",
    summary="What the reviews say",
    responses=review_documents.REPORT | documents.problems(422, 503),
    openapi_extra=_FILTER,
)
async def report(
    request: Request,
    gateway: Here,
    principal: _Viewer,
    by: Annotated[
        ReviewGrouping, Query(description="What results are grouped by.")
    ] = ReviewGrouping.PROMPT_VERSION,
) -> Response:
    """As `understudy review report --json`."""
    where = _read_filter(request, gateway, principal, _REPORT_BESIDE)
    nothing = review_report.make_report((), by)
    return json_answer(
        await _use(gateway, lambda engine: review_report.read_report(engine, by, where), missing=nothing)
    )


@router.get(
    "/candidates",
    summary="Which results to promote",
    responses=review_documents.CANDIDATES | documents.problems(422, 503),
    openapi_extra=_FILTER,
)
async def candidates(request: Request, gateway: Here, principal: _Viewer) -> Response:
    """As `understudy review candidates --json`."""
    where = _read_filter(request, gateway, principal, frozenset({"shadows"}))
    found = await _use(
        gateway,
        lambda engine: review_candidates.find_candidates(engine, gateway.settings, where),
        missing=review_candidates.ReviewCandidates(candidates=(), doubtful=()),
    )
    return json_answer(found)


@router.post(
    "/promote",
    summary="Make a result a golden sample",
    status_code=201,
    responses=review_documents.PROMOTED
    | review_documents.PROMOTABLE
    | documents.problems(400, 409, 413, 415, 422, 503),
)
async def promote(order: PromotionOrder, gateway: Here, principal: _Promoter) -> Response:
    """As `understudy review promote ID --json`, into `samples_dir`; 409 has every reason against it.

    201 with the sample; 200 with what it would be where `dry_run` is set.
    """

    def work(*, dry_run: bool) -> Callable[[Engine], review_promotion.PromotedResult]:
        return lambda engine: review_promotion.promote(
            engine,
            gateway.settings,
            order.request_id,
            name=order.name,
            tags=order.tags,
            dry_run=dry_run,
        )

    try:
        checked = await _use(gateway, work(dry_run=True))
        if order.dry_run:
            return json_answer(checked)
        await record_change(gateway, principal, "reviews.promote", order.request_id)
        found = await _use(gateway, work(dry_run=False))
    except PromotionRefused as error:
        raise Problem(409, "conflict", str(error)) from None
    return json_answer(found, status=201)


def _read_filter(
    request: Request, gateway: Gateway, principal: Principal, beside: frozenset[str]
) -> RequestFilter:
    where = listing.read_filter(request.query_params, principal, now_ms=gateway.now_ms(), beside=beside)
    check_text(where, stored=gateway.settings.audit.store_prompts)
    return where


def _name(principal: Principal) -> str:
    """Who reviews: the token's name, so that a person with two tokens is one reviewer."""
    return principal.name or read_user_name()


def _desk(engine: Engine, principal: Principal) -> ReviewDesk:
    return ReviewDesk(engine, _name(principal), workspace=principal.workspace)


async def _use(gateway: Gateway, work: Callable[[Engine], T], *, missing: T | None = None) -> T:
    """Work with the audit's database, with all its tables.

    Args:
        gateway: the gateway.
        work: what to do; in a thread.
        missing: the answer while there is no database; ``None``: one is made.

    Raises:
        Problem: 404, there is no such item; 409, it is decided already; 422, scores that do not fit it.
        DatabaseError: the database cannot be used.
    """
    if missing is not None and gateway.audit_engine() is None:
        return missing
    try:
        return await gateway.update(work)
    except ReviewUnknown as error:
        raise Problem(404, "not-found", str(error)) from None
    except ReviewConflict as error:
        raise Problem(409, "conflict", str(error)) from None
    except ReviewRefused as error:
        raise Problem(422, "invalid-parameter", str(error)) from None
