"""Filter of messages: whether an event of the log, or a dead letter's message, matches a request filter."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec

from contracts import events as ev
from infra.inspect import record as records
from infra.inspect.record import LogRecord
from infra.inspect.request_filter import RequestFilter
from infra.nats.log import LogEntry

#: Requests whose workspace and node are remembered.
_REMEMBERED: Final = 20_000


class RequestOwner(msgspec.Struct, frozen=True, kw_only=True):
    """What most messages about a request do not repeat."""

    workspace: str | None = None
    #: Id of the node, else of its template.
    node: str | None = None

    def matches(self, where: RequestFilter) -> bool:
        """Whether workspace and node are those of the filter."""
        return where.workspace in (None, self.workspace) and where.node in (None, self.node)


def read_owner(data: Any) -> RequestOwner:
    """Read workspace and node from a request's body; what is not there stays ``None``."""
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    node = fields.get("node")
    ids = (
        cast("dict[str, Any]", node).get("id") if isinstance(node, dict) else None,
        fields.get("template_id"),
        fields.get("templateId"),
    )
    workspace = fields.get("workspace")
    return RequestOwner(
        workspace=workspace if isinstance(workspace, str) else None,
        node=next((each for each in ids if isinstance(each, str)), None),
    )


class MessageFilter:
    """Filter of a stream of messages.

    Workspace and node are in ``requested`` alone: they are remembered from there, or looked up.

    Args:
        where: the filter.
        find: finds the ``requested`` that owns an id.
    """

    def __init__(self, where: RequestFilter, find: Callable[[str], Awaitable[LogEntry | None]]) -> None:
        self._where = where
        self._find = find
        self._owned = where.workspace is not None or where.node is not None
        self._known: OrderedDict[str, RequestOwner] = OrderedDict()

    async def passes(self, record: LogRecord) -> bool:
        """Whether a message matches.

        Raises:
            StreamMissing, Unavailable: a request cannot be looked up.
        """
        if self._owned and record.event == "requested" and record.request_id is not None:
            self._remember(record.request_id, read_owner(record.data))
        if not passes(record, self._where):
            return False
        if not self._owned:
            return True
        return record.request_id is not None and (await self.owner(record.request_id)).matches(self._where)

    def known_owner(self, request_id: str) -> RequestOwner | None:
        """Workspace and node of a request, if they are remembered."""
        return self._known.get(request_id)

    async def owner(self, request_id: str) -> RequestOwner:
        """Workspace and node of a request; empty where the log has no request of this id.

        Raises:
            StreamMissing, Unavailable: the request cannot be looked up.
        """
        known = self._known.get(request_id)
        if known is not None:
            return known
        entry = await self._find(request_id)
        found = RequestOwner() if entry is None else read_owner(records.decode(entry).data)
        self._remember(request_id, found)
        return found

    def _remember(self, request_id: str, owner: RequestOwner) -> None:
        # The first `requested` of an id is the request.
        self._known.setdefault(request_id, owner)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def passes(record: LogRecord, where: RequestFilter) -> bool:
    """Whether a message matches, except workspace and node; a field that it does not have does not match."""
    return (
        where.matches_id(record.request_id)
        and (not where.kind or record.kind in where.kind)
        and (not where.stage or record.stage in where.stage)
        and (not where.status or getattr(record.body, "status", None) in where.status)
        and (not where.origin or getattr(record.body, "origin", None) in where.origin)
        and (not where.code or _code(record) in where.code)
        and wrote(record, where)
        and where.matches_time(record.time_ns // 1_000_000)
        and (where.text is None or contains_text(_texts(record), where.text))
    )


def wrote(record: LogRecord, where: RequestFilter) -> bool:
    """Whether provider, model and prompt version match."""
    if where.prompt_version is not None and _prompt_version(record) != where.prompt_version:
        return False
    if where.provider is None and where.model is None:
        return True
    return any(
        where.provider in (None, provider) and where.model in (None, model)
        for provider, model in _writers(record)
    )


def contains_text(data: Any, text: str) -> bool:
    """Whether a string within JSON values contains a text; upper and lower case are equal."""
    wanted = text.casefold()
    left = [data]
    while left:
        match left.pop():
            case str(value):
                if wanted in value.casefold():
                    return True
            case dict(fields):
                left += fields.values()
            case list(items):
                left += items
            case _:
                pass
    return False


def letter_texts(letter: ev.DeadLetter) -> list[Any]:
    """What a search of a dead letter looks through: its reason and evidence, and the message that it is about."""
    found: list[Any] = [letter.reason, letter.evidence]
    if letter.body is not None:
        try:
            found.append(msgspec.json.decode(letter.body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found.append(letter.body.decode("utf-8", "replace"))
    return found


def _texts(record: LogRecord) -> Any:
    # In a letter's own JSON the message is base64.
    return letter_texts(record.body) if isinstance(record.body, ev.DeadLetter) else record.data


def _code(record: LogRecord) -> str | None:
    match record.body:
        case ev.Failed(code=code) | ev.DeadLetter(code=code):
            return code
        case ev.Result(error=error) | ev.Revised(error=error) if error is not None:
            return error.code
        case _:
            return None


def _prompt_version(record: LogRecord) -> str | None:
    match record.body:
        case ev.Result(meta=meta) | ev.Revised(meta=meta):
            return meta.prompt_version
        case _:
            return getattr(getattr(record.body, "brief", None), "prompt_version", None)


def _writers(record: LogRecord) -> list[tuple[str | None, str | None]]:
    """Providers and models that wrote the content, and those that were called."""
    match record.body:
        case ev.Drafted(draft=made) | ev.Structured(document=made) | ev.Invalid(document=made):
            return [(made.provider, made.model)]
        case ev.Result(meta=meta, attempts=attempts) | ev.Revised(meta=meta, attempts=attempts):
            return [(meta.provider, meta.model), *((each.provider, each.model) for each in attempts)]
        case ev.Failed(trail=trail):
            return [(each.provider, each.model) for each in trail.attempts]
        case _:
            return []
