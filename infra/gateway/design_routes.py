"""What the routes of all kinds of designs share: pages, versions, storing, restoring, deleting, and their answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from fastapi import Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from infra.gateway import designs as desk
from infra.gateway.answers import json_answer
from infra.gateway.design_queries import read_designs
from infra.stores import designs
from infra.stores.designs import DesignKey, DesignVersion, StoredDesign

if TYPE_CHECKING:
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway
    from infra.stores.designs import DesignKind

_MOST: Final = 2**31 - 1
#: Rows of a page by default, and at most.
ROWS: Final = 100
Limit = Annotated[int, Query(ge=1, le=500, description="Rows of a page.")]
Cursor = Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]{1,64}$", description="From the page before.")]
Version = Annotated[int | None, Query(ge=1, le=_MOST, description="An earlier version.")]
Before = Annotated[int | None, Query(ge=1, le=_MOST, description="Versions below this one.")]


class RestoreOrder(BaseModel):
    """Which version becomes the draft."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**31 - 1)


RestoreBody = Annotated[
    RestoreOrder, Body(openapi_examples={"first": {"summary": "The first version", "value": {"version": 1}}})
]


async def list_page(
    gateway: Gateway, kind: DesignKind, workspace: str, *, limit: int, after: str | None
) -> tuple[list[StoredDesign], str | None]:
    """A page of designs by their names, and the cursor of the next one."""
    rows = await read_designs(
        gateway,
        lambda engine: designs.list_designs(engine, kind, workspace, limit=limit + 1, after=after),
        missing=list[StoredDesign](),
    )
    return rows[:limit], rows[limit - 1].name if len(rows) > limit else None


async def find_at(gateway: Gateway, key: DesignKey, version: int | None) -> StoredDesign:
    """A design, or an earlier version of it.

    Raises:
        Problem: 404, there is none that the sender may see.
    """
    found = await desk.find(gateway, key)
    if version is None or version == found.version:
        return found
    earlier = await desk.find_version(gateway, found, version)
    return msgspec.structs.replace(found, content=earlier.content, version=version)


async def put(
    gateway: Gateway,
    principal: Principal,
    request: Request,
    key: DesignKey,
    read: Callable[[], Awaitable[str]],
) -> tuple[StoredDesign, bool]:
    """Create a design or change its draft; and whether it was created.

    Args:
        gateway: the gateway.
        principal: who changes it.
        request: with the preconditions.
        key: the design.
        read: its content, from the body of the request.

    Raises:
        Problem: 404, 409, 412, 422 or 428.
    """
    current = await desk.find_base(gateway, request, key)
    return await desk.save(gateway, principal, key, await read(), current), current is None


async def delete(gateway: Gateway, principal: Principal, request: Request, key: DesignKey) -> Response:
    """Delete a design with its versions.

    Raises:
        Problem: 404, 412 or 428.
    """
    expected = desk.require_match(request, await desk.find(gateway, key))
    await desk.change(
        gateway,
        principal,
        f"{key.kind}s.delete",
        key,
        lambda engine: designs.remove_design(engine, key, expected=expected),
    )
    return Response(status_code=204)


async def answer_history(
    gateway: Gateway, design: StoredDesign, *, limit: int, before: int | None
) -> Response:
    """The versions of a design."""
    rows = await read_designs(
        gateway,
        lambda engine: designs.list_versions(engine, design.key, limit=limit + 1, before=before),
        missing=list[DesignVersion](),
    )
    items = [desk.version_to_json(each, design.kind, published=design.published) for each in rows[:limit]]
    following = rows[limit - 1].version if len(rows) > limit else None
    return json_answer({"items": items, "next": following})


async def restore(
    gateway: Gateway, principal: Principal, request: Request, key: DesignKey, version: int
) -> StoredDesign:
    """Make an earlier version the draft.

    Raises:
        Problem: 404, 412 or 428.
    """
    current = await desk.find(gateway, key)
    expected = desk.require_match(request, current)
    earlier = await desk.find_version(gateway, current, version)
    author = desk.author_of(gateway, principal)
    return await desk.change(
        gateway,
        principal,
        f"{key.kind}s.restore",
        key,
        lambda engine: designs.save_design(
            engine, key, earlier.content, author, expected=expected, action="restore"
        ),
    )


def answer_design(design: StoredDesign, more: Mapping[str, Any], *, created: bool = False) -> Response:
    """A design with what its kind adds, and its entity tag."""
    headers = {"ETag": design.etag, "Cache-Control": "private, no-cache"}
    if created:
        headers["Location"] = f"/api/v1/{design.kind}s/{design.name}"
    body = desk.design_to_json(design) | dict(more)
    return json_answer(body, status=201 if created else 200, headers=headers)
