"""SQL conditions of a request filter over the audit's ``generations``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, func

from infra.inspect.request_filter import FilterError, RequestFilter, has_wildcards
from infra.stores.database import GENERATIONS
from stages.audit.fold import REPEATED

#: Columns of the words that take several values.
_ONE_OF: Final = {
    "kind": GENERATIONS.c.kind,
    "status": GENERATIONS.c.status,
    "origin": GENERATIONS.c.origin,
    "code": GENERATIONS.c.error_code,
    "stage": GENERATIONS.c.error_stage,
}
#: Columns of the words that take one value.
_EQUAL: Final = {
    "provider": GENERATIONS.c.provider,
    "model": GENERATIONS.c.model,
    "prompt_version": GENERATIONS.c.prompt_version,
    "workspace": GENERATIONS.c.workspace,
    "node": GENERATIONS.c.node_id,
}


#: Why the audit has no texts.
NO_WORDS: Final = "the audit keeps no words of requests (audit.store_prompts is off)"


def check_text(where: RequestFilter, *, stored: bool) -> None:
    """Refuse to select requests by a text that the audit does not have.

    Args:
        where: the filter.
        stored: whether the audit keeps texts.

    Raises:
        FilterError: it has a text, and the audit keeps none.
    """
    if where.text is not None and not stored:
        raise FilterError(
            f"text cannot be searched: {NO_WORDS}; leave it out, or search the event log (`understudy tail --text`, "
            "`understudy dead ls --text`)"
        )


def build_conditions(where: RequestFilter, *, dialect: str) -> list[ColumnElement[bool]]:
    """The conditions of a filter, for ``select(...).where(*conditions)`` over ``generations``.

    Rows of stray events (without a request) never match.  Rows of repeated requests match only where the status
    asks for them, and shadows only where the filter or an id asks for them.  An index serves ids, patterns of ids
    without leading wildcard, and status, code, workspace, node and times.

    Args:
        where: the filter.
        dialect: ``sqlite`` or ``postgresql``.
    """
    found: list[ColumnElement[bool]] = [GENERATIONS.c.requested_at_ms.is_not(None)]
    if REPEATED not in where.status:
        found.append(GENERATIONS.c.status != REPEATED)
    if not where.shows_shadows:
        found.append(GENERATIONS.c.shadow.is_(None))
    for name, column in _ONE_OF.items():
        values: tuple[str, ...] = getattr(where, name)
        if values:
            found.append(column == values[0] if len(values) == 1 else column.in_(values))
    found += [
        column == _clean(value)[: getattr(column.type, "length", None)]
        for name, column in _EQUAL.items()
        if (value := getattr(where, name)) is not None
    ]
    if where.request_id is not None:
        found.append(_match_id(_clean(where.request_id), dialect))
    if where.since_ms is not None:
        found.append(GENERATIONS.c.requested_at_ms >= where.since_ms)
    if where.until_ms is not None:
        found.append(GENERATIONS.c.requested_at_ms < where.until_ms)
    if where.text is not None:
        # Both are folded by Python: databases fold case beyond ASCII differently.
        needle = _clean(where.text.casefold())
        place = func.strpos if dialect == "postgresql" else func.instr
        found.append(place(GENERATIONS.c.searched, needle) > 0)
    return found


def _match_id(pattern: str, dialect: str) -> ColumnElement[bool]:
    column = GENERATIONS.c.request_id
    if not has_wildcards(pattern):
        return column == pattern
    if dialect == "sqlite":
        # Its LIKE ignores case.
        return column.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, f"\\{special}")
    return column.like(pattern.replace("*", "%").replace("?", "_"), escape="\\")


def _clean(value: str) -> str:
    # As it is stored: PostgreSQL refuses NUL, and UTF-8 has no half of a surrogate pair.
    return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
