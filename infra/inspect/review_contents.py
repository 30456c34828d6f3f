"""Contents that people review: results of models as the audit has them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Engine, select

from contracts.nodes.node import Rating
from contracts.redaction import is_redacted
from contracts.result import Origin, Status
from infra.stores.database import GENERATIONS, reading
from stages.audit.fold import RequestRecord

#: Origins of contents that a provider wrote.
WRITTEN: Final = (Origin.LIVE, Origin.CACHE, Origin.SCRIPTED)
#: Statuses of results that have one.
ENDED: Final = (Status.SUCCESS, Status.CACHED)
_row: Final = GENERATIONS.c
_decode: Final = msgspec.json.Decoder(RequestRecord).decode


class ReviewedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result of a provider, with its content."""

    request_id: str
    life_ms: int
    kind: str
    workspace: str | None
    #: What the request asks for; ``None``: the audit does not keep it.
    wish: str | None
    #: Tags of the request.
    tags: tuple[str, ...]
    #: Ids of the player and the playthrough.
    persons: tuple[str, ...]
    content: Any
    content_hash: str
    origin: str
    #: The request that cached content was generated for.
    generated_for: str | None
    provider: str | None
    model: str | None
    prompt_version: str | None
    node: str | None
    #: ``name/arm`` of its experiment.
    arm: str | None
    #: Money; ``None``: not known.
    cost: float | None
    rating: Rating
    #: Score of an automatic judge, 1 to 5; ``None``: it has judged nothing.
    judged: float | None


def find_content(
    engine: Engine, request_id: str, life_ms: int | None = None, *, workspace: str | None = None
) -> ReviewedResult | None:
    """A result of a provider, with its content; ``None``: the audit does not have that.

    Args:
        engine: the audit's database.
        request_id: the request.
        life_ms: which one of those with this id; ``None``: the latest.
        workspace: the only one that counts; ``None``: all.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = select(_row.record, _row.workspace, _row.node_id).where(
        _row.request_id == request_id, _row.status.in_(ENDED)
    )
    if life_ms is not None:
        query = query.where(_row.life_ms == life_ms)
    if workspace is not None:
        query = query.where(_row.workspace == workspace)
    with reading(engine) as connection:
        found = connection.execute(query.order_by(_row.life_ms.desc()).limit(1)).first()
    return None if found is None else _read(_decode(found.record), found.workspace, found.node_id)


def _read(record: RequestRecord, workspace: str | None, node: str | None) -> ReviewedResult | None:
    result: dict[str, Any] = record.end.result if record.end else {}
    content, digest = result.get("content"), result.get("content_hash")
    if content is None or digest is None or result.get("content_left_out"):
        return None
    origin = result.get("origin")
    if origin not in WRITTEN:
        return None
    meta: dict[str, Any] = result.get("meta") or {}
    arm: dict[str, Any] = meta.get("experiment") or {}
    asked: dict[str, Any] = record.asked.parameters if record.asked else {}
    player: dict[str, Any] = asked.get("player_context") or {}
    prompt = record.asked.prompt if record.asked else None
    return ReviewedResult(
        request_id=record.request_id,
        life_ms=record.life_ms,
        kind=record.kind,
        workspace=workspace,
        wish=None if prompt is None or is_redacted(prompt) else prompt,
        tags=tuple(asked.get("tags") or ()),
        persons=tuple(str(each) for name in ("player_id", "playthrough_id") if (each := player.get(name))),
        content=content,
        content_hash=digest,
        origin=str(origin),
        generated_for=meta.get("generated_for"),
        provider=meta.get("provider"),
        model=meta.get("model"),
        prompt_version=meta.get("prompt_version"),
        node=node,
        arm=f"{arm['name']}/{arm['arm']}" if arm else None,
        cost=(meta.get("cost") or {}).get("amount"),
        rating=read_rating(meta),
        judged=read_judged(meta),
    )


def read_rating(meta: dict[str, Any]) -> Rating:
    """The rating that held for a request, from its result's ``meta``."""
    return Rating((meta.get("rating") or {}).get("effective", Rating.SFW))


def read_judged(meta: dict[str, Any]) -> float | None:
    """An automatic judge's score in a result's ``meta``, 1 to 5; ``None``: there is none."""
    judged: Any = meta.get("evaluation")
    score = judged.get("score") if isinstance(judged, dict) and judged.get("state") == "scored" else None
    return float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None
