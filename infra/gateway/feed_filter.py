"""Feed filter: what a reader of events asks for, and which messages are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contracts import subjects
from infra.inspect.message_filter import passes, read_owner

if TYPE_CHECKING:
    from infra.gateway.access import Principal
    from infra.inspect.message_filter import MessageFilter
    from infra.inspect.record import LogRecord
    from infra.inspect.request_filter import RequestFilter
    from infra.inspect.tail import Watched


class FeedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader asks for."""

    #: The subscriptions that hold it.
    what: Watched
    #: Where it left off; ``None``: it begins now, for one request with the request.
    start: dict[str, int] | None = None
    #: Why it cannot continue where it left off; ``None``: it can, or does not need to.
    reset: str | None = None
    #: Events of this request alone, until it has its result.
    request_id: str | None = None
    #: Conditions of events of all requests.
    where: RequestFilter | None = None
    #: The only workspace that the reader sees; ``None``: all.
    workspace: str | None = None
    #: Who it is; ``None``: this machine's user.
    sender: Principal | None = None


class FeedFilter:
    """Decides which messages a reader gets.

    Args:
        asked: what it asks for.
        owners: finds workspace and node of requests.
    """

    def __init__(self, asked: FeedRequest, owners: MessageFilter) -> None:
        self._asked = asked
        self._owners = owners
        self._where = asked.where
        self._owned = asked.where is not None and (
            asked.where.workspace is not None or asked.where.node is not None
        )

    def decide(self, record: LogRecord) -> bool | None:
        """Whether a message is one of the reader's; ``None``: :meth:`decide_by_owner` has to look its request up."""
        if self._is_foreign(record):
            return False
        where = self._where
        if where is None:
            return record.request_id == self._asked.request_id
        unasked = record.stream is None and not self._asked.what.progress
        if unasked or not passes(record, where) or (self._owned and record.request_id is None):
            return False
        if not self._owned or record.request_id is None:
            return True
        known = self._owners.known_owner(record.request_id)
        return None if known is None else known.matches(where)

    async def decide_by_owner(self, record: LogRecord) -> bool:
        """Whether workspace and node of a message's request are those of the filter.

        Raises:
            StreamMissing, Unavailable: the request cannot be looked up.
        """
        if self._where is None or record.request_id is None:
            return False
        return (await self._owners.owner(record.request_id)).matches(self._where)

    def is_last(self, record: LogRecord) -> bool:
        """Whether a message is the result of the only request that the reader asks for."""
        asked = self._asked.request_id
        return asked is not None and record.event == subjects.answer(asked)

    def _is_foreign(self, record: LogRecord) -> bool:
        """Whether a message is another workspace's request that repeats an id of this one's."""
        workspace = self._asked.workspace
        return (
            workspace is not None
            and record.event == "requested"
            and read_owner(record.data).workspace != workspace
        )
