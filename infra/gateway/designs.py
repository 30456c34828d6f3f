"""Designs over HTTP: which workspace a sender means, preconditions, and changes with their audit row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from contracts import timestamp
from contracts.nodes.node import PLAIN
from infra.authoring.scene_graphs import to_json, to_yaml
from infra.gateway.changes import record_change
from infra.gateway.design_bodies import check_name
from infra.gateway.design_queries import read_designs
from infra.gateway.problems import Problem, not_found, parameter_problem
from infra.stores import designs
from infra.stores.designs import (
    KINDS,
    NO_WORKSPACE,
    DesignAuthor,
    DesignChanged,
    DesignKey,
    DesignVersion,
    StoredDesign,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway
    from infra.stores.designs import DesignKind

T = TypeVar("T")
#: Designs of one kind in a workspace.
MOST_DESIGNS: Final = {"node": 5_000, "graph": 500}
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
#: Parameter of a route: the workspace of a sender that sees all of them.
Workspace = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        pattern=PLAIN,
        description="The workspace, for a sender that is bound to none; default: designs without a workspace.",
    ),
]


def choose_workspace(principal: Principal, named: str | None) -> str:
    """The workspace whose designs a sender means.

    Raises:
        Problem: 422, it may not see that one.
    """
    if principal.workspace is None:
        return named or NO_WORKSPACE
    if named not in (None, principal.workspace):
        raise parameter_problem("workspace", f"the token sees workspace {principal.workspace!r} alone")
    return principal.workspace


def key_of(kind: DesignKind, principal: Principal, workspace: str | None, name: str) -> DesignKey:
    """What names a design in a path.

    Raises:
        Problem: 404, nothing can have that name.
    """
    if _NAME.fullmatch(name) is None:
        raise not_found(f"{kind} {name!r}")
    return DesignKey(kind=kind, workspace=choose_workspace(principal, workspace), name=name)


async def find(gateway: Gateway, key: DesignKey) -> StoredDesign:
    """A design.

    Raises:
        Problem: 404, there is none that the sender may see.
    """
    found = await read_designs(gateway, lambda engine: designs.find_design(engine, key), missing=None)
    if found is None:
        raise not_found(f"{key.kind} {key.name!r}")
    return found


async def find_version(gateway: Gateway, design: StoredDesign, version: int) -> DesignVersion:
    """A version of a design.

    Raises:
        Problem: 404, there is none, or it is no longer kept.
    """
    found = await read_designs(
        gateway, lambda engine: designs.find_version(engine, design.key, version), missing=None
    )
    if found is None:
        raise not_found(f"version {version} of the {design.kind} {design.name!r}")
    return found


def author_of(gateway: Gateway, principal: Principal) -> DesignAuthor:
    """Who changes a design now."""
    return DesignAuthor(at_ms=gateway.now_ms(), via=principal.via, token_id=principal.token_id)


def require_match(request: Request, current: StoredDesign) -> str:
    """The entity tag that a change is based on.

    Raises:
        Problem: 428, it names none; 412, the design is in another state.
    """
    given = request.headers.get("if-match")
    if given is None:
        raise Problem(
            428,
            "precondition-required",
            f"send If-Match with the ETag of the {current.kind} {current.name!r} that you read",
            headers={"ETag": current.etag},
        )
    if given.strip() != "*" and current.etag not in _TAG.findall(given):
        raise changed(current.key, current)
    return current.etag


def creates(request: Request) -> bool:
    """Whether a request says that it creates something."""
    return (request.headers.get("if-none-match") or "").strip() == "*"


def changed(key: DesignKey, current: StoredDesign | None) -> Problem:
    """412: the design is in another state; the answer has it."""
    said = str(DesignChanged(key, current))
    if current is None:
        return Problem(412, "precondition-failed", said)
    return Problem(
        412,
        "precondition-failed",
        said,
        headers={"ETag": current.etag},
        more={"current": design_to_json(current)},
    )


def design_to_json(design: StoredDesign) -> dict[str, Any]:
    """A design as answers show it."""
    return {
        "id": design.name,
        "workspace": design.workspace or None,
        "version": design.version,
        "published_version": design.published,
        "disabled": design.disabled,
        "etag": design.etag,
        "created": timestamp.format_ms(design.created_ms),
        "updated": timestamp.format_ms(design.updated_ms),
        "updated_by": design.updated_by,
        design.kind: msgspec.Raw(design.content.encode()),
    }


def version_to_json(version: DesignVersion, kind: DesignKind, *, published: int | None) -> dict[str, Any]:
    """A version of a design as answers show it."""
    return {
        "version": version.version,
        "at": timestamp.format_ms(version.at_ms),
        "via": version.via,
        "token_id": version.token_id,
        "action": version.action,
        "published": version.version == published,
        kind: msgspec.Raw(version.content.encode()),
    }


async def change(
    gateway: Gateway,
    principal: Principal,
    action: str,
    key: DesignKey,
    work: Callable[[Engine], T],
    *,
    target: str | None = None,
) -> T:
    """Change a design, after its audit row.

    Args:
        gateway: the gateway.
        principal: who changes it.
        action: of the audit row.
        key: the design.
        work: the change.
        target: of the audit row; by default the design's name.

    Raises:
        Problem: 412, the design is in another state.
        DatabaseError: the database cannot be changed.
    """
    await record_change(gateway, principal, action, target or key.name)
    try:
        return await gateway.update(work)
    except DesignChanged as error:
        raise changed(key, error.current) from None


async def require_room(gateway: Gateway, key: DesignKey, more: int = 1) -> None:
    """Refuse more designs than a workspace may have.

    Raises:
        Problem: 409.
    """
    most = MOST_DESIGNS[key.kind]
    count = await read_designs(
        gateway, lambda engine: designs.count_designs(engine, key.kind, key.workspace), missing=0
    )
    if count + more > most:
        raise Problem(409, "conflict", f"a workspace has at most {most} {key.kind}s; delete some")


async def find_base(gateway: Gateway, request: Request, key: DesignKey) -> StoredDesign | None:
    """The design that a ``PUT`` changes; ``None``: it creates one.

    Raises:
        Problem: 404, 409, 412, 422 or 428.
    """
    current = await read_designs(gateway, lambda engine: designs.find_design(engine, key), missing=None)
    if current is None:
        if not creates(request):
            said = f"there is no {key.kind} {key.name!r}; send If-None-Match: * to create it"
            raise Problem(404, "not-found", said)
        check_name(key.kind, key.name)
        await require_room(gateway, key)
        return None
    if creates(request):
        raise changed(key, current)
    require_match(request, current)
    return current


async def save(
    gateway: Gateway, principal: Principal, key: DesignKey, content: str, current: StoredDesign | None
) -> StoredDesign:
    """Store a draft; equal content is no change.

    Args:
        gateway: the gateway.
        principal: who changes it.
        key: the design.
        content: JSON.
        current: the design that it changes; none: it creates one.

    Raises:
        Problem: 412, the design has changed meanwhile.
    """
    if current is not None and current.content == content:
        return current
    author, expected = author_of(gateway, principal), current and current.etag
    return await change(
        gateway,
        principal,
        f"{key.kind}s.save",
        key,
        lambda engine: designs.save_design(engine, key, content, author, expected=expected),
    )


async def import_designs(
    gateway: Gateway, principal: Principal, action: str, contents: Mapping[DesignKey, str], *, replace: bool
) -> list[dict[str, Any]]:
    """Store the designs of a file, all or none.

    Args:
        gateway: the gateway.
        principal: who imports them.
        action: of the audit row.
        contents: the designs of one workspace.
        replace: also change those that exist.

    Returns:
        what became of each.

    Raises:
        Problem: 409, some exist with other content; 412, one of them changed meanwhile.
    """
    first = next(iter(contents))

    def find_current(engine: Engine) -> dict[DesignKey, StoredDesign]:
        return {
            each.key: each
            for kind in KINDS
            for each in designs.find_designs(
                engine, kind, first.workspace, [key.name for key in contents if key.kind == kind]
            ).values()
        }

    current = await read_designs(gateway, find_current, missing=dict[DesignKey, StoredDesign]())
    other = [key for key, each in current.items() if each.content != contents[key]]
    if other and not replace:
        named = ", ".join(f"{key.kind} {key.name!r}" for key in other[:10])
        raise Problem(409, "conflict", f"{named}: other content is stored; replace=true replaces it")
    new = [key for key in contents if key not in current]
    for kind in KINDS:
        some = [key for key in new if key.kind == kind]
        if some:
            await require_room(gateway, some[0], len(some))
    author = author_of(gateway, principal)
    await change(
        gateway,
        principal,
        action,
        first,
        lambda engine: designs.save_designs(
            engine,
            contents,
            author,
            expected={key: current[key].etag if key in current else None for key in contents},
            action="import",
        ),
        target=",".join(key.name for key in contents),
    )
    said = dict.fromkeys(new, "created") | dict.fromkeys(other, "changed")
    return [{"kind": key.kind, "id": key.name, "outcome": said.get(key, "unchanged")} for key in contents]


def answer_file(value: Any, name: str, language: Literal["json", "yaml"]) -> Response:
    """Nodes or a scenario as a file."""
    return Response(
        to_json(value) if language == "json" else to_yaml(value),
        media_type=f"application/{language}",
        headers={"Content-Disposition": f'attachment; filename="{name}.{language}"'},
    )
