"""Listing of requests: the filter in a query string, and cursors."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from infra.gateway.problems import parameter_problem
from infra.inspect.audit_listing import Position
from infra.inspect.request_filter import WORDS, RequestFilter, parse_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.datastructures import QueryParams

    from infra.gateway.access import Principal

#: Other names of words of the vocabulary.
ALIASES: Final = {"q": "text", "operation": "stage", "prompt_version": "prompt-version"}
#: Parameters of a listing beside the filter.
_BESIDE: Final = frozenset({"limit", "cursor", "shadows"})
#: Parameters of a stream of events beside the filter.
BESIDE_EVENTS: Final = frozenset({"progress", "shadows"})
#: A position as a cursor has it.
_CURSOR: Final = re.compile(r"([0-9]{1,15})\.(.{1,255})")
_TRUE: Final = frozenset({"1", "true"})
#: Words that have no meaning for dead letters.
RESULTS_ONLY: Final = ("status", "origin")


def read_filter(
    query: QueryParams, principal: Principal, *, now_ms: int, beside: frozenset[str] = _BESIDE
) -> RequestFilter:
    """The filter in a query string, within the workspace of who asks.

    Args:
        query: the parameters; one that is given several times has several values.
        principal: who asks.
        now_ms: ms since the epoch, for ages such as ``10m``.
        beside: parameters that are no words of the filter.

    Raises:
        Problem: 422, an unknown parameter.
        FilterError: a value that cannot match anything.
    """
    given: dict[str, str | None] = {}
    for name in query:
        word = ALIASES.get(name, name)
        if name in beside:
            continue
        if word not in WORDS:
            known = ", ".join(sorted({*WORDS, *ALIASES, *beside}))
            raise parameter_problem(name, f"is no parameter of this path; known are {known}")
        given[word] = ",".join(query.getlist(name))
    found = parse_filter(given, now_ms=now_ms, name=lambda word: word)
    shadows = query.get("shadows", "").lower() in _TRUE
    return narrow_filter(msgspec.structs.replace(found, shadows=shadows), principal)


def narrow_filter(found: RequestFilter, principal: Principal) -> RequestFilter:
    """A filter within the workspace of who asks.

    Raises:
        Problem: 422, it names another workspace.
    """
    if principal.workspace is None:
        return found
    if found.workspace not in (None, principal.workspace):
        raise parameter_problem("workspace", f"the token sees workspace {principal.workspace!r} alone")
    return msgspec.structs.replace(found, workspace=principal.workspace)


def read_letter_filter(
    query: QueryParams, principal: Principal, *, now_ms: int, beside: frozenset[str]
) -> RequestFilter:
    """The filter of dead letters in a query string, within the workspace of who asks; shadows always match.

    Raises:
        Problem: 422, an unknown parameter, or one that only results have.
        FilterError: a value that cannot match anything.
    """
    for name in RESULTS_ONLY:
        if name in query:
            raise parameter_problem(name, "only results have it; list /api/v1/generations")
    found = read_filter(query, principal, now_ms=now_ms, beside=beside)
    return msgspec.structs.replace(found, shadows=True)


def write_cursor(position: Position) -> str:
    """A position as text for a URL; its form may change."""
    text = f"{position.requested_at_ms}.{position.request_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """The position in a cursor.

    Raises:
        Problem: 422, it is none.
    """
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError:
        found = None
    if found is None:
        raise parameter_problem(
            "cursor", "is none of this server; take it from the answer before, or leave it out"
        )
    return Position(requested_at_ms=int(found[1]), request_id=found[2])


def link_next(path: str, query: QueryParams, cursor: str) -> str:
    """The value of ``Link`` for the next page (RFC 8288)."""
    kept = [(name, value) for name, value in query.multi_items() if name != "cursor"]
    return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


def filter_parameters(without: Iterable[str] = ()) -> list[Mapping[str, Any]]:
    """What OpenAPI says of the words of the filter.

    Args:
        without: words that the path does not accept.
    """
    said = {
        "since": "Start: an age (`30s`, `10m`, `2h`, `1d`) or a time.",
        "until": "End: an age or a time.",
        "text": "Part of the prompt or the error; upper and lower case are equal.",
        "q": "As `text`.",
        "id": "An id; `*` and `?` are wildcards.",
        "stage": "The stage that failed.",
        "operation": "As `stage`.",
        "node": "Id of the node, else of its template.",
    }
    several = "Several values are separated by commas."
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": said.get(
                name, several if name in ("kind", "status", "origin", "code") else "Exactly this value."
            ),
        }
        for name in (*WORDS, "q", "operation")
        if name not in without
    ]
