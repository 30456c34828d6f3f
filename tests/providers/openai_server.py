"""Which server speaks the OpenAI protocol, over real sockets, exactly as a test wants?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

import msgspec

from contracts.events import Params
from contracts.ports import Prompt
from infra.providers.openai import OpenAIProvider
from infra.settings.narrative import OpenAIServer


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer of any status."""

    status: int
    body: Any = {}
    headers: dict[str, str] = {}


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """An answer in pieces; each of ``events`` is one server-sent event."""

    events: tuple[Any, ...]
    done: bool = True
    #: Keep the connection open and say no more until the client goes.
    hang: bool = False
    #: Close the connection in the middle.
    abort: bool = False
    content_type: str = "text/event-stream"


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with status 200, byte for byte."""

    body: bytes
    #: None: it names no content type.
    content_type: str | None = "text/event-stream"


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "served-1",
        "choices": [choice],
        **more,
    }


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return chunk() | {"choices": [], "usage": {**counted, **more}}


def answer(*pieces: str, finish: str = "stop", prompt: int = 7, **more: Any) -> Streamed:
    return Streamed(
        events=(
            *(chunk(piece) for piece in pieces),
            chunk(finish=finish),
            usage(prompt, len(pieces), **more),
        )
    )


def refusal(message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> Said:
    return Said(
        status=status,
        body={"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}},
    )


Reply = Said | Streamed | Raw


class FakeServer:
    """Answers each request with what ``reply`` makes of it; knows what it was asked."""

    def __init__(self, reply: Callable[[Asked], Reply]) -> None:
        self._reply = reply
        self.asked: list[Asked] = []
        #: A client went away in the middle of an answer.
        self.left = asyncio.Event()
        #: The first bytes of an answer are out.
        self.begun = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = Asked(path=head[0].split()[1], headers=headers, body=json.loads(raw or b"{}"))
            self.asked.append(asked)
            await self._answer(self._reply(asked), reader, writer)
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()

    async def _answer(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match reply:
            case Said():
                raw = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
                kind = "text/html" if isinstance(reply.body, str) else "application/json"
                _head(writer, reply.status, {"content-type": kind, **reply.headers})
                writer.write(raw)
            case Raw():
                _head(writer, 200, {} if reply.content_type is None else {"content-type": reply.content_type})
                writer.write(reply.body)
            case Streamed():
                _head(writer, 200, {"content-type": reply.content_type, "transfer-encoding": "chunked"})
                for event in reply.events:
                    text = event if isinstance(event, str) else json.dumps(event)
                    _piece(writer, f"data: {text}\n\n".encode())
                    await writer.drain()
                    self.begun.set()
                if reply.abort:
                    return
                if reply.hang:
                    await writer.drain()
                    self.begun.set()
                    await reader.read()
                    self.left.set()
                    return
                if reply.done:
                    _piece(writer, b"data: [DONE]\n\n")
                _piece(writer, b"")
        await writer.drain()


def _piece(writer: asyncio.StreamWriter, raw: bytes) -> None:
    writer.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")


def _head(writer: asyncio.StreamWriter, status: int, headers: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} x\r\n{lines}connection: close\r\n\r\n".encode())


def ask(text: str = "a forest", *, kind: str = "layout", stage: str = "structuring", **more: Any) -> Prompt:
    return Prompt(text=text, kind=kind, stage=stage, **{"request_id": "r1", **more})


def params(**more: Any) -> Params:
    given = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 50, "seed": 7, "timeout_s": 20.0}
    return Params(**{**given, **more})


def provider(server: FakeServer, **more: Any) -> OpenAIProvider:
    return OpenAIProvider(OpenAIServer(base_url=server.url, model="asked-1", **more))
