"""A model server that breaks the protocol, for tests.

Run as a program: a :class:`ServerReply` as JSON on standard input, its port as a line on standard output.  It speaks just
enough of the OpenAI protocol: whoever does not name the odd request gets good answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import sys
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from infra.host.parent_death import before_exec

HOST: Final = "127.0.0.1"
MODEL: Final = "odd"
#: Stands in the prompt of a request that gets the odd answer.
MARK: Final = "an odd ferry"
_PROSE: Final = "The ferry leaves at noon with three coins on board."
_DOCUMENT: Final = '{"title": "The ferry", "coins": 3}'
#: Bytes of a body that is read at once.
_MOST_BODY: Final = 4 * 1024**2


class ServerReply(msgspec.Struct, frozen=True, kw_only=True):
    """The server's reply to a marked generation call."""

    body: bytes
    status: int = 200
    content_type: str = "text/event-stream"


def chunk(**fields: Any) -> dict[str, Any]:
    """A chunk of a stream, with these fields in place of the usual ones."""
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, **fields}


def choice(delta: Any, finish: Any = None) -> list[dict[str, Any]]:
    """The choices of a chunk: its text, and why it is the last one."""
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


def stream(*chunks: Any) -> bytes:
    """Chunks as server-sent events."""
    return b"".join(b"data: " + msgspec.json.encode(each) + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"


def good(text: str) -> bytes:
    """The stream of a good answer."""
    return stream(chunk(choices=choice({"content": text})), chunk(choices=choice({}, "stop")))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    said: ServerReply

    def do_POST(self) -> None:
        asked = self.rfile.read(min(int(self.headers["content-length"]), _MOST_BODY))
        if b'"response_format"' in asked:
            self._say(ServerReply(body=good(_DOCUMENT)))
        elif MARK.encode() in asked:
            self._say(self.said)
        else:
            self._say(ServerReply(body=good(_PROSE)))

    def _say(self, said: ServerReply) -> None:
        self.send_response(said.status)
        self.send_header("content-type", said.content_type)
        self.send_header("content-length", str(len(said.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(said.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no calls."""


@contextlib.asynccontextmanager
async def serving(said: ServerReply) -> AsyncGenerator[str]:
    """Run the server in a separate process; yields its base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "infra.lab.bench.model_server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(),
    )
    try:
        assert process.stdin is not None  # noqa: S101 - asked for above
        assert process.stdout is not None  # noqa: S101 - as above
        process.stdin.write(msgspec.json.encode(said))
        process.stdin.close()
        port = int(await process.stdout.readline())
        yield f"http://{HOST}:{port}/v1"
    finally:
        process.kill()
        await process.wait()


def _main() -> None:
    _Handler.said = msgspec.json.decode(sys.stdin.buffer.read(), type=ServerReply)
    server = http.server.ThreadingHTTPServer((HOST, 0), _Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _main()
