"""`/api/v1/dead-letters`: list, group, show, judge and drop dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from infra.app import letter_desk
from infra.gateway import documents, listing, ops_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Here
from infra.gateway.letter_access import (
    HIDDEN,
    check_own,
    choose_view,
    find_letter,
    hide_verdict,
    hide_words,
    may_read_words,
    read_patch,
)
from infra.gateway.problems import Problem, not_found
from infra.inspect import dead_letters, letter_listing
from infra.inspect.dead_letters import NoLetter
from infra.inspect.letter_faults import read_faults

router: Final = APIRouter(prefix="/api/v1/dead-letters", tags=["dead-letters"])
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
_Operator = Annotated[Principal, require(AccessRole.OPERATOR)]
_Sequence = Annotated[int, Path(ge=1, le=2**53 - 1, description="The letter's number.", examples=[1])]
_PATH: Final = "/api/v1/dead-letters"
#: Rows of a page by default, and at most.
_ROWS: Final = 100
_MOST_ROWS: Final = 1000
_BESIDE: Final = frozenset({"limit", "cursor", "field"})
_FILTER: Final = {"parameters": listing.filter_parameters(without=listing.RESULTS_ONLY)}


class LetterEdit(BaseModel):
    """An edit of a dead letter's request."""

    model_config = ConfigDict(extra="forbid")

    patch: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=1000,
        description="JSON Patch (RFC 6902); without it the request is as it is.",
    )


class LetterDropOrder(BaseModel):
    """How a letter is dropped."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Say what would be deleted; delete nothing.")


@router.get(
    "",
    summary="List dead letters, newest first",
    responses=ops_documents.LETTERS | documents.problems(403, 422, 503),
    openapi_extra=_FILTER,
)
async def list_letters(
    request: Request,
    gateway: Here,
    principal: _Viewer,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS, description="Rows of a page.")] = _ROWS,
    cursor: Annotated[int | None, Query(ge=1, le=2**53 - 1, description="From the page before.")] = None,
    field: Annotated[
        str | None, Query(max_length=400, description="As a group has it, such as `/params/temperature`.")
    ] = None,
) -> Response:
    """A page of what `understudy dead ls --json` prints; letters that come meanwhile move nothing to another page."""
    query = request.query_params
    where = listing.read_letter_filter(query, principal, now_ms=gateway.now_ms(), beside=_BESIDE)
    view = choose_view(gateway, principal, where)
    async with gateway.wait():
        await gateway.require_broker()
        found, following = await letter_listing.read_page(
            gateway.wire, where, limit=limit, before=cursor, field=field, view=view
        )
    token = None if following is None else str(following)
    headers = {} if token is None else {"Link": listing.link_next(_PATH, query, token)}
    return json_answer(
        {"items": [letter_listing.to_json(each) for each in found], "next": token}, headers=headers
    )


@router.get(
    "/groups",
    summary="Count dead letters by stage, code and field",
    responses=ops_documents.LETTER_GROUPS | documents.problems(403, 422, 503),
    openapi_extra=_FILTER,
)
async def group_letters(request: Request, gateway: Here, principal: _Viewer) -> Response:
    """The largest group first, as `understudy dead ls --groups --json`; `field` of the list selects one of them."""
    where = listing.read_letter_filter(
        request.query_params, principal, now_ms=gateway.now_ms(), beside=frozenset()
    )
    view = choose_view(gateway, principal, where)
    async with gateway.wait():
        await gateway.require_broker()
        found = await letter_listing.count_groups(gateway.wire, where, view=view)
    return json_answer({"items": found})


@router.get(
    "/{sequence}",
    summary="A dead letter, its faults, and what would be decided now",
    responses=ops_documents.LETTER | documents.problems(404, 409, 422, 503),
)
async def show(sequence: _Sequence, gateway: Here, principal: _Viewer) -> Response:
    """The letter as it is stored; `violations` are those of its reason, `verdict` is today's.

    With `audit.store_prompts` off only operators see the message and what quotes it.
    """
    async with gateway.wait():
        await gateway.require_broker()
        letter = await find_letter(gateway, principal, sequence)
        verdict = await letter_desk.judge(gateway.settings, gateway.wire, letter)
    if may_read_words(gateway, principal):
        found = letter_listing.to_full_json(letter)
    else:
        letter, verdict = hide_words(letter), hide_verdict(verdict)
        found = letter_listing.to_full_json(letter) | {"payload": HIDDEN}
    return json_answer(found | {"violations": read_faults(letter), "verdict": verdict})


@router.post(
    "/{sequence}/validate",
    summary="What would be decided about a dead letter's request, with an edit",
    responses=ops_documents.LETTER_VERDICT | documents.problems(400, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra=ops_documents.body_example(
        {"patch": [{"op": "replace", "path": "/prompt", "value": "a forest with three coins"}]}
    ),
)
async def validate(
    sequence: _Sequence, gateway: Here, principal: _Viewer, edit: LetterEdit | None = None
) -> Response:
    """The verdict of a replay's dry run, and the body that it would publish; nothing is published or stored."""
    if not may_read_words(gateway, principal):
        raise Problem(403, "forbidden", HIDDEN)
    patch = read_patch(None if edit is None else edit.patch)
    async with gateway.wait():
        await gateway.require_broker()
        letter = await find_letter(gateway, principal, sequence)
        verdict = await letter_desk.judge(gateway.settings, gateway.wire, letter, patch=patch)
    if verdict.body is not None:
        check_own(principal, verdict.workspace)
    return json_answer(verdict)


@router.post(
    "/{sequence}/drop",
    summary="Delete a dead letter",
    responses=ops_documents.LETTER_DROPPED | documents.problems(400, 404, 409, 413, 415, 422, 503),
)
async def drop(
    sequence: _Sequence, gateway: Here, principal: _Operator, order: LetterDropOrder | None = None
) -> Response:
    """Delete a letter permanently, as `understudy dead drop`."""
    dry = order is not None and order.dry_run
    async with gateway.wait():
        await gateway.require_broker()
        await find_letter(gateway, principal, sequence)
        if not dry:
            await record_change(gateway, principal, "dead-letters.drop", str(sequence))
            try:
                await dead_letters.drop(gateway.wire, sequence)
            except NoLetter:
                raise not_found(f"dead letter {sequence}") from None
    return json_answer({"letter": sequence, "outcome": "would_drop" if dry else "dropped"})
