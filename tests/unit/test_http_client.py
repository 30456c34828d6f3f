"""The client over HTTP before a server that fails: what is sent again and what is not, and what a token never reaches."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest
from understudy_client import (
    AccessDenied,
    BrokerLost,
    Busy,
    ClientError,
    InvalidRequest,
    MissingExtra,
    Unavailable,
    Unreachable,
    Unreadable,
)
from understudy_client.http import HttpClient
from understudy_client.http.retry import MOST_AFTER_S, choose_pause_s, read_retry_after

TOKEN: Final = "us_abc_secret"  # noqa: S105 - opens nothing
SESSION: Final = b'{"role": "admin"}'
RESULT: Final = {
    "request_id": "a",
    "kind": "layout",
    "status": "success",
    "origin": "live",
    "content": {"n": 1},
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy_client.http.retry._LONGEST_S", 0.02)
    monkeypatch.setattr("understudy_client.http.transport._REOPEN_S", 0.02)


class Seen(msgspec.Struct, frozen=True):
    """One request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def reply(status: int, body: bytes | Any = b"", **headers: str) -> bytes:
    """An answer, as it is sent; names of headers have underscores."""
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
    said = {"Content-Length": str(len(sent)), "Content-Type": "application/json"}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + sent


def problem(status: int, slug: str, **headers: str) -> bytes:
    body = {"type": f"/problems/{slug}", "title": "x", "status": status, "detail": "said the gateway"}
    return reply(status, body, Content_Type="application/problem+json", **headers)


class FakeGateway:
    """Answers each request with the next of some answers; ``None`` breaks the connection."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers = answers
        self.seen: list[Seen] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {
                    name.lower(): value
                    for name, _, value in (each.partition(": ") for each in head[1:] if each)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if path == "/api/session" and TOKEN in headers.get("authorization", ""):
                    writer.write(reply(200, SESSION))
                    continue
                self.seen.append(Seen(method, path, headers, body))
                answer = self.answers.pop(0)
                if answer is not None:
                    writer.write(answer)
                if answer is None or b"Connection: close" in answer or b"Content-Length" not in answer:
                    await writer.drain()
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def fake(*answers: bytes | None) -> AsyncGenerator[FakeGateway]:
    gateway = FakeGateway(list(answers))
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    gateway.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield gateway
    finally:
        server.close()


@asynccontextmanager
async def before(*answers: bytes | None, **options: Any) -> AsyncGenerator[tuple[HttpClient, FakeGateway]]:
    """A client of a gateway that answers so."""
    async with fake(*answers) as gateway, HttpClient.connect(gateway.url, token=TOKEN, **options) as client:
        yield client, gateway


async def test_what_passes_is_sent_again_with_the_same_key_until_there_is_an_answer() -> None:
    said: list[str] = []
    troubles = [
        problem(503, "broker-unavailable", Retry_After="0"),
        problem(503, "stopping", Retry_After="0", Connection="close"),
        problem(503, "busy", Retry_After="0"),
        problem(429, "too-many-requests", Retry_After="0"),
        reply(502, b"<h1>Bad gateway</h1>", Content_Type="text/html", Retry_After="0"),
        None,
        reply(200, RESULT, Connection="close")[:-5],
    ]
    async with before(
        *troubles,
        reply(200, RESULT),
        on_lost=lambda _: said.append("lost"),
        on_back=lambda _: said.append("back"),
    ) as (client, gateway):
        result = await client.ask("layout", "a forest", timeout_s=20)

    assert result.content == {"n": 1}
    assert len(gateway.seen) == len(troubles) + 1
    assert (
        len(
            {
                (each.headers["idempotency-key"], each.headers["traceparent"], each.body)
                for each in gateway.seen
            }
        )
        == 1
    )
    assert said == ["lost", "back"]


async def test_a_request_that_takes_longer_is_looked_for_and_not_sent_again() -> None:
    job = {"job_id": "a", "kind": "layout", "status": "running", "result": None}
    async with before(
        reply(202, {"job_id": "a", "kind": "layout", "status": "pending"}),
        None,
        reply(200, job),
        reply(200, {**job, "status": "success", "result": RESULT}),
    ) as (client, gateway):
        result = await client.ask("layout", "a forest", request_id="a", timeout_s=10)

    assert result.status == "success"
    assert [each.method for each in gateway.seen] == ["POST", "GET", "GET", "GET"]
    assert re.fullmatch(r"wait=(9|10)", gateway.seen[0].headers["prefer"])
    assert re.fullmatch(r"/api/generation-jobs/a\?wait=\d", gateway.seen[1].path)


@pytest.mark.parametrize(
    ("trouble", "raised"),
    [
        (problem(503, "busy", Retry_After="5"), Busy),
        (problem(429, "too-many-requests", Retry_After="5"), Busy),
        (problem(503, "broker-unavailable", Retry_After="5"), Unavailable),
        (reply(504, b"", Retry_After="5"), Unavailable),
    ],
)
async def test_a_call_does_not_wait_beyond_its_time(
    trouble: bytes, raised: type[ClientError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy_client.http.client.PUBLISH_S", 1)
    began = time.monotonic()
    async with before(trouble) as (client, gateway):
        with pytest.raises(raised):
            await client.submit("layout", "a forest")
    assert len(gateway.seen) == 1
    assert time.monotonic() - began < 5


async def test_a_gateway_that_stays_away_ends_a_wait_and_a_request() -> None:
    away = [problem(503, "stopping", Retry_After="0")] * 4
    async with before(*away, lost_s=0) as (client, _):
        with pytest.raises(BrokerLost, match=r"lost the gateway at http://.*`understudy wait a`"):
            await client.wait("a", timeout_s=60)
        with pytest.raises(BrokerLost):
            await anext(client.progress("a"))
        with pytest.raises(Unavailable, match="under the same id"):
            await client.ask("layout", "a forest", timeout_s=60)


@pytest.mark.parametrize(
    ("answer", "raised", "why"),
    [
        (problem(401, "unauthorized"), AccessDenied, "said the gateway"),
        (problem(403, "forbidden"), AccessDenied, "said the gateway"),
        (problem(500, "GEN_INTERNAL"), ClientError, "answers 500"),
        (problem(503, "conflict"), ClientError, "answers 503"),
        (problem(502, "unreadable"), Unreadable, "said the gateway"),
        (problem(422, "GEN_INVALID_REQUEST"), InvalidRequest, "said the gateway"),
        (reply(202, b"{"), Unreadable, "is that URL the gateway's"),
        (reply(202, b"[" * 100_000), Unreadable, "cannot be read"),
        (reply(202, b"x" * 2_000_000), Unreadable, "more than 1000000 bytes"),
        (reply(202, b"x", Content_Encoding="gzip"), Unreadable, "compressed"),
    ],
)
async def test_what_does_not_pass_is_sent_once(answer: bytes, raised: type[ClientError], why: str) -> None:
    async with before(answer, max_bytes=1_000_000) as (client, gateway):
        with pytest.raises(raised, match=why):
            await client.submit("layout", "a forest")
    assert len(gateway.seen) == 1


async def test_a_redirect_is_not_followed_and_the_token_stays() -> None:
    async with fake() as other, before(reply(307, Location=f"{other.url}/api/v1/generations")) as (client, _):
        with pytest.raises(Unreachable, match="redirect to"):
            await client.submit("layout", "a forest")
    assert other.seen == []


async def test_a_stream_goes_on_after_the_last_event_that_came() -> None:
    def event(name: str, data: Any, id: str | None = None) -> bytes:
        head = f"event: {name}\n" + (f"id: {id}\n" if id else "")
        return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"

    def piece(text: str) -> bytes:
        data = {"stage": "freeform-gen", "attempt": 1, "index": 0, "text": text, "later": 1}
        return event("progress", {"kind": "layout", "data": data})

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    async with before(
        problem(404, "not-found"),
        head
        + b"retry: 2000\nid: R1.E0.D0\n\n"
        + event("requested", {"kind": "layout"}, "R1.E1.D0")
        + piece("Once "),
        head + b": ping\nid: R1.E2.D0\n\n" + piece("upon") + event("bye", {"reason": "stop"}),
        None,
        head + event("progress", {"kind": "layout", "data": 5}) + event("bye", {"reason": "ended"}),
    ) as (client, gateway):
        texts = [each.text async for each in client.progress("a")]

    assert texts == ["Once ", "upon"]
    last = [each.headers.get("last-event-id") for each in gateway.seen]
    assert last == [None, None, "R1.E1.D0", "R1.E2.D0", "R1.E2.D0"]


async def test_a_stream_that_has_ended_yields_nothing_and_one_that_is_refused_raises() -> None:
    async with before(reply(204), problem(403, "forbidden")) as (client, _):
        assert [each async for each in client.progress("a")] == []
        with pytest.raises(AccessDenied):
            await anext(client.progress("a"))


@pytest.mark.parametrize(
    "answer",
    [reply(404, b"<h1>not here</h1>", Content_Type="text/html"), reply(200, b"<h1>hello</h1>"), reply(302)],
)
async def test_what_is_no_gateway_is_not_connected_to(answer: bytes) -> None:
    async with fake(answer) as other:
        with pytest.raises(ClientError):
            async with HttpClient.connect(other.url):
                pass


async def test_a_wrong_token_is_refused_at_once_and_is_in_no_text() -> None:
    async with fake(problem(401, "unauthorized")) as gateway:
        client = HttpClient.connect(gateway.url, token="us_x_hidden")  # noqa: S106 - as above
        with pytest.raises(AccessDenied) as refused:
            async with client:
                pass
    texts = [
        str(refused.value),
        repr(refused.value),
        repr(client),
        repr(client._transport._address),
        client.url,
    ]
    assert not [each for each in texts if "hidden" in each]
    assert gateway.seen[0].headers["authorization"] == "Bearer us_x_hidden"


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8787",
        "nats://h:4222",
        "http://",
        "http://u:hidden@h",
        "http://h?x",
        "http://h:x",
        "http://[h",
    ],
)
def test_what_is_no_url_of_a_gateway_is_refused_without_its_text(url: str) -> None:
    with pytest.raises(Unreachable, match="write http://HOST:PORT") as refused:
        HttpClient.connect(url)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "é"])
def test_what_is_no_token_goes_into_no_header(token: str) -> None:
    with pytest.raises(InvalidRequest, match="tokens create"):
        HttpClient.connect("http://h", token=token)


async def test_a_path_before_the_gateways_own_is_kept() -> None:
    async with (
        fake(reply(200, SESSION), reply(404, {})) as gateway,
        HttpClient.connect(f"{gateway.url}/game/") as client,
    ):
        assert await client.look("a") is None
    assert [each.path for each in gateway.seen] == ["/game/api/session", "/game/api/generation-jobs/a"]


def test_without_httpx2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    monkeypatch.delitem(sys.modules, "understudy_client.http.transport", raising=False)
    with pytest.raises(
        MissingExtra, match=r"needs the extra 'http' .*pip install 'httpx2>=2\.12'"
    ) as missing:
        HttpClient.connect("http://127.0.0.1:8787")
    assert missing.value.extra == "http"


def test_pauses_grow_to_a_limit_and_clients_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def pauses(jitter: float) -> list[float]:
        return [choose_pause_s(tries, None, jitter) for tries in range(1, 9)]

    assert pauses(1) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert pauses(0) == [each / 2 for each in pauses(1)]
    assert choose_pause_s(1, 5, 0) == 5
    assert choose_pause_s(9, 5, 1) == 6
    assert choose_pause_s(1, 3600, 0) == MOST_AFTER_S
    assert choose_pause_s(10_000, None, 1) == 2.0
    assert [
        read_retry_after(each) for each in ("2", None, "", "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "9" * 9)
    ] == [
        2.0,
        *[None] * 5,
    ]
