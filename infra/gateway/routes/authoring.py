"""`/api/v1/nodes/validate` and `social-context/build`: what designers check before they ask."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from contracts.kinds import KINDS
from contracts.nodes.node import Constraints
from contracts.policy.social import Social
from infra.app import social_context
from infra.gateway import documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.gateway import Here
from infra.gateway.orders import read_body
from infra.gateway.problems import parameter_problem

router: Final = APIRouter(tags=["authoring"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]


class SocialContext(BaseModel):
    """A relationship in a world."""

    model_config = ConfigDict(extra="forbid")

    social: Social | None = None
    world: str | None = None
    constraints: Constraints = Constraints()


@router.post(
    "/api/v1/nodes/validate",
    summary="Check a node",
    responses=documents.REPORT | documents.problems(413, 415, 422),
    openapi_extra=documents.NODE,
)
@router.post(
    "/api/validate-generation-config",
    summary="Check a node",
    responses=documents.REPORT | documents.problems(413, 415, 422),
    openapi_extra=documents.NODE,
)
async def validate(request: Request, gateway: Here, _: _Client) -> Response:
    """Errors, warnings and suggestions for a node or a list of nodes; 200 whatever they are, `ok` says it.

    Each has the JSON Pointer of its field and, where there are any, quick fixes as JSON Patch.
    """
    body = await read_body(gateway, request)
    kind = request.query_params.get("kind")
    if kind is not None and kind not in KINDS:
        raise parameter_problem("kind", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise parameter_problem("body", f"is not UTF-8 at byte {error.start}") from None
    return json_answer(await asyncio.to_thread(gateway.nodes.check, text, kind=kind))


@router.post(
    "/api/v1/generations/social-context/build",
    summary="The social context of a relationship",
    responses=documents.SOCIAL_CONTEXT | documents.problems(400, 413, 415, 422),
)
async def build(wanted: SocialContext, gateway: Here, _: _Client) -> Response:
    """The rating that is used, the constraints and the lines of the prompt that follow from a relationship."""
    found = await asyncio.to_thread(
        social_context.build_social_context,
        gateway.settings,
        social=wanted.social,
        world=wanted.world,
        constraints=wanted.constraints,
    )
    return json_answer(found)
