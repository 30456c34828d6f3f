"""A model server that speaks the OpenAI protocol and can be turned off and on: its answers are those of the scripted provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Self

from infra.providers.scripted_text import document, prose

HOST: Final = "127.0.0.1"
MODEL: Final = "scripted-chat"
#: A field that only the schema of this kind has.
_KIND_OF: Final = {
    "entities": "layout",
    "premise": "plot",
    "narration": "scene",
    "lines": "dialogue",
    "mood_from": "transition",
}


class ChatServer:
    """Answers chat completions while it is on; while it is off its port refuses connections."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        #: Calls that it has answered.
        self.answered = 0

    async def __aenter__(self) -> Self:
        await self.turn_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.turn_off()

    @property
    def base_url(self) -> str:
        """Where it is, on or off."""
        return f"http://{HOST}:{self._port}/v1"

    async def turn_on(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, HOST, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def turn_off(self) -> None:
        """Close the port and every open connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = dict(each.lower().split(": ", 1) for each in head.split("\r\n")[1:] if ": " in each)
                body = await reader.readexactly(int(lines.get("content-length", "0")))
                writer.write(self._answer(head.split(" ", 2)[1], body))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            with suppress(OSError):
                writer.close()

    def _answer(self, path: str, body: bytes) -> bytes:
        if not path.endswith("/chat/completions"):
            return _respond(json.dumps({"data": [{"id": MODEL}]}).encode(), "application/json")
        asked: dict[str, Any] = json.loads(body)
        prompt = "\n".join(str(each["content"]) for each in asked["messages"])
        text = _write(prompt, asked.get("response_format"), f"{asked.get('seed')}")
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
        self.answered += 1
        pieces = [
            _chunk({"content": text}),
            _chunk({}, "stop"),
            {**_chunk({}), "choices": [], "usage": usage},
        ]
        events = "".join(f"data: {json.dumps(each)}\n\n" for each in pieces)
        return _respond(f"{events}data: [DONE]\n\n".encode(), "text/event-stream")


def _write(prompt: str, response_format: Mapping[str, Any] | None, key: str) -> str:
    schema = ((response_format or {}).get("json_schema") or {}).get("schema")
    if schema is None:
        return prose("draft", prompt, key)
    kind = next((kind for name, kind in _KIND_OF.items() if name in schema.get("properties", {})), "custom")
    return json.dumps(document(kind, prompt, key, schema))


def _chunk(delta: Mapping[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def _respond(body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
