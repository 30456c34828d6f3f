"""`/api/v1/tokens` and `/api/v1/changes`: who may call the gateway, and who changed what."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from contracts import timestamp
from infra.gateway import documents
from infra.gateway.access import AccessRole, Principal, check_workspace, require
from infra.gateway.answers import json_answer
from infra.gateway.changes import record_change
from infra.gateway.gateway import Gateway, Here
from infra.gateway.problems import FieldProblem, Problem, not_found
from infra.gateway.token_desk import (
    MAX_NAME,
    MAX_WORKSPACE,
    TokenError,
    issue_token,
    issued_to_json,
    token_to_json,
)
from infra.stores import access_tokens
from infra.stores.access_tokens import StoredToken
from infra.stores.changes import RecordedChange, list_changes

router: Final = APIRouter(tags=["tokens"])
_Admin = Annotated[Principal, require(AccessRole.ADMIN)]
_PATH: Final = "/api/v1/tokens"
#: Rows of a page of changes, at most.
_MOST_ROWS: Final = 1000


class TokenOrder(BaseModel):
    """A token to create."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME, description="What it is for.", examples=["editor"])
    role: str = Field(default="client", description="client, viewer, designer, operator or admin.")
    workspace: str | None = Field(
        default=None, min_length=1, max_length=MAX_WORKSPACE, description="The only one that it sees."
    )
    require_live: bool = Field(
        default=False, description="Its clients of `/v1` get an error instead of a stand-in."
    )
    expires: str | None = Field(default=None, description="After which time, such as `30d`.", max_length=32)


@router.get(_PATH, summary="List tokens", responses=documents.TOKENS | documents.problems(503))
async def list_all(gateway: Here, principal: _Admin) -> Response:
    """All tokens without their secrets, the oldest first; a token of one workspace sees those of its own."""
    now_ms = gateway.now_ms()
    found = await gateway.query(
        lambda engine: access_tokens.list_tokens(engine, principal.workspace), missing=list[StoredToken]()
    )
    return json_answer([token_to_json(each, now_ms) for each in found])


@router.post(
    _PATH,
    summary="Create a token",
    status_code=201,
    responses=documents.TOKEN_CREATED | documents.problems(415, 422, 503),
)
async def create(order: TokenOrder, gateway: Here, principal: _Admin) -> Response:
    """The answer has the token, which is shown this once; only the hash of its secret is stored."""
    workspace = order.workspace or principal.workspace
    if principal.workspace is not None and workspace != principal.workspace:
        raise Problem(403, "forbidden", f"the token belongs to workspace {principal.workspace}")
    now_ms = gateway.now_ms()
    try:
        issued = issue_token(
            name=order.name,
            role=order.role,
            workspace=workspace,
            expires=order.expires,
            require_live=order.require_live,
            created_by=principal.token_id,
            now_ms=now_ms,
        )
    except TokenError as error:
        text = str(error)
        fault = FieldProblem(pointer=f"/{text.partition(' ')[0]}", detail=text)
        raise Problem(422, "invalid-parameter", text, errors=(fault,)) from None
    stored = issued.stored
    await record_change(gateway, principal, "tokens.create", stored.token_id)
    await gateway.update(lambda engine: access_tokens.add_token(engine, stored))
    gateway.access.forget()
    headers = {"Location": f"{_PATH}/{stored.token_id}", "Cache-Control": "no-store"}
    return json_answer(issued_to_json(issued, now_ms), status=201, headers=headers)


@router.get(
    f"{_PATH}/{{token_id}}", summary="A token", responses=documents.TOKEN | documents.problems(404, 503)
)
async def show(token_id: str, gateway: Here, principal: _Admin) -> Response:
    """A token without its secret."""
    return json_answer(token_to_json(await _find(gateway, principal, token_id), gateway.now_ms()))


@router.delete(
    f"{_PATH}/{{token_id}}",
    summary="Revoke a token",
    responses=documents.TOKEN | documents.problems(404, 503),
)
async def revoke(token_id: str, gateway: Here, principal: _Admin) -> Response:
    """The token and its sessions open nothing any more; its row stays.  The answer has the token as it is then."""
    await _find(gateway, principal, token_id)
    await record_change(gateway, principal, "tokens.revoke", token_id)
    now_ms = gateway.now_ms()
    revoked = await gateway.update(lambda engine: access_tokens.revoke_token(engine, token_id, now_ms))
    gateway.access.forget()
    await gateway.hub.check_access(gateway.access.admits)
    if revoked is None:
        raise not_found(f"token {token_id!r}")
    return json_answer(token_to_json(revoked, now_ms))


@router.get(
    "/api/v1/changes", summary="Who changed what", responses=documents.CHANGES | documents.problems(422, 503)
)
async def changes(
    request: Request,
    gateway: Here,
    principal: _Admin,
    token: Annotated[str | None, Query(max_length=16, description="Id of the token that asked.")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS, description="Rows of a page.")] = 100,
    before: Annotated[int | None, Query(ge=1, description="Only changes with a lower number.")] = None,
) -> Response:
    """The latest changes, newest first; a token of one workspace sees those of its own."""
    rows = await gateway.query(
        lambda engine: list_changes(
            engine, limit=limit, before=before, token_id=token, workspace=principal.workspace
        ),
        missing=list[RecordedChange](),
    )
    headers: dict[str, str] = {}
    if len(rows) == limit:
        following = request.url.include_query_params(before=rows[-1].id)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return json_answer([_change_to_json(each) for each in rows], headers=headers)


async def _find(gateway: Gateway, principal: Principal, token_id: str) -> StoredToken:
    found = await gateway.query(lambda engine: access_tokens.find_token(engine, token_id), missing=None)
    if found is None:
        raise not_found(f"token {token_id!r}")
    check_workspace(principal, found.workspace, f"token {token_id!r}")
    return found


def _change_to_json(change: RecordedChange) -> dict[str, object]:
    row = msgspec.structs.asdict(change)
    return {"at": timestamp.format_ms(row.pop("at_ms")), **row}
