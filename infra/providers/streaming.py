"""Streaming: the chunks of a server's answer.

They come as server-sent events (WHATWG HTML, 9.2); a server that does not stream answers with one object.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, Final

import httpx2

#: Bytes of one event; an answer of the greatest length in one event, escaped, is below it.
_MAX_EVENT: Final = 4 * 1024**2
#: Bytes of a whole answer: 32,000 chunks of 2 KB.
_MAX_ANSWER: Final = 64 * 1024**2
#: Bytes of the body of a refusal that are read.
_MAX_REFUSAL: Final = 64 * 1024
#: First bytes of a stream, in contrast to a page.
_ENOUGH: Final = 16
_BOM: Final = b"\xef\xbb\xbf"
#: How a stream of events begins, whatever its content type says.
_EVENTS: Final = re.compile(rb"\s*(?::|(?:data|event|id|retry)[:\r\n])")
_DONE: Final = "[DONE]"
#: Seconds for the last bytes of an answer that has ended: read to its end, a connection can be used again.
_DRAIN_S: Final = 0.1
#: Digits of a number that is read as a whole one; longer ones are no count of anything.
_DIGITS: Final = 20
_DECODER: Final = json.JSONDecoder(
    parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else float(digits)
)


def decoded(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or too deep.
    """
    try:
        return _DECODER.decode(text.strip())
    except RecursionError:
        raise ValueError("nested too deep") from None


async def chunks(response: httpx2.Response, hint: str) -> AsyncGenerator[Any, None]:
    """The JSON values of an answer's events, up to its end.

    Args:
        response: whose body is not read yet.
        hint: what to do where it is no stream.

    Raises:
        ValueError: it is no stream, or an event is no JSON.
        HTTPError: the connection broke, or an event is too long.
    """
    kind = response.headers.get("content-type", "")
    media = kind.partition(";")[0].strip().lower()
    body = _bounded(response)
    first = await _beginning(body)
    if first.lstrip()[:1] == b"{" and media != "text/event-stream":
        async for piece in body:
            first += piece
            if len(first) > _MAX_EVENT:
                raise ValueError(f"more than {_MAX_EVENT // 1024**2} MiB in one piece")
        yield decoded(first.decode(errors="replace"))
        return
    if media != "text/event-stream" and not _EVENTS.match(first) and (first or media):
        # A web page would read as a stream without a single event.
        raise ValueError(f"content type {kind!r} instead of a stream; {hint}")
    events = httpx2.EventSource(_as_events(response, first, body), max_event_size=_MAX_EVENT)
    stream = aiter(events)
    async for event in stream:
        data = event.data.strip()
        if data.startswith(_DONE):
            with suppress(TimeoutError, httpx2.HTTPError, ValueError):
                async with asyncio.timeout(_DRAIN_S):
                    async for _ in stream:
                        pass
            return
        # A block without data is no event.
        if data:
            yield {"error": _value(data)} if event.event == "error" else decoded(data)


async def whole(response: httpx2.Response, most: int = _MAX_REFUSAL) -> Any:
    """The body of an answer that is no stream: JSON, else text; cut to so many bytes."""
    raw = b""
    async for piece in response.aiter_bytes():
        raw += piece
        if len(raw) >= most:
            break
    return _value(raw[:most].decode(errors="replace"))


def _value(text: str) -> Any:
    try:
        return decoded(text)
    except ValueError:
        return text


async def _bounded(response: httpx2.Response) -> AsyncIterator[bytes]:
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > _MAX_ANSWER:
            raise ValueError(f"more than {_MAX_ANSWER // 1024**2} MiB")
        yield piece


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    first = b""
    async for piece in body:
        first += piece
        if len(first.lstrip()) >= _ENOUGH or b"\n" in first.strip():
            break
    return first.removeprefix(_BOM)


def _as_events(response: httpx2.Response, first: bytes, body: AsyncIterator[bytes]) -> httpx2.Response:
    """The same answer with what the standard says of every stream: its type, and UTF-8."""

    async def content() -> AsyncIterator[bytes]:
        yield first
        async for piece in body:
            yield piece
        # The last event of some servers lacks the empty line after it.
        yield b"\n\n"

    return httpx2.Response(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        content=content(),
        request=response.request,
    )
