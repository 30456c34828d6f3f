"""Text of a request while a model writes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

import msgspec

from understudy_client import protocol
from understudy_client.connection import flushed
from understudy_client.errors import ClientError, Unreadable
from understudy_client.result import Progress
from understudy_client.session import unsubscribe
from understudy_client.tasks import end_tasks

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from understudy_client.identity import RequestIdentity
    from understudy_client.results import ResultReader
    from understudy_client.session import Session

_decode: Final = msgspec.json.Decoder(Progress).decode


async def follow(
    session: Session, results: ResultReader, expected: RequestIdentity
) -> AsyncGenerator[Progress, None]:
    """Yield the pieces of text of one request; ends when its result is stored.

    Raises:
        IdTaken: the id belongs to another request than the one that is meant.
        BrokerLost: the connection was lost for too long.
    """
    queue: asyncio.Queue[Msg | ClientError | None] = asyncio.Queue()

    async def written(msg: Msg) -> None:
        await queue.put(msg)

    async def end() -> None:
        try:
            # A result that is heard but not stored is none: the log says when the request has ended.
            async with session.listening(expected.request_id) as heard:
                heard.set()
                await results.wait(expected, heard, float("inf"), owned=False)
        except Unreadable:
            await queue.put(None)
        except ClientError as error:
            await queue.put(error)
        else:
            await queue.put(None)

    subject = protocol.subject("progress", expected.kind or "*", expected.request_id)
    subscription = await session.connection.subscribe(subject, cb=written)
    ending: asyncio.Task[None] | None = None
    try:
        await flushed(session.connection)
        ending = asyncio.create_task(end())
        while (msg := await queue.get()) is not None:
            if isinstance(msg, ClientError):
                raise msg
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                yield _decode(msg.data)
    finally:
        if ending is not None:
            await end_tasks(ending)
        await unsubscribe(subscription)
