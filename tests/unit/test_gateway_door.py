"""The gateway's door without a broker: hosts, sizes, media types, keys, preferences, and problems for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError
from understudy_client import errors as client_errors

from contracts.errors import ErrorCode, Unavailable, UnderstudyError
from contracts.request import RequestError
from infra.gateway import problems
from infra.gateway.access import LOCAL_USER, AccessRole, Principal, check_role, check_workspace
from infra.gateway.answers import matches
from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.gateway.middleware import knows_host
from infra.gateway.orders import derive_id
from infra.gateway.preferences import read_preference
from infra.gateway.problems import Problem, convert
from infra.inspect.pointers import pointer_of
from infra.settings.settings import load
from infra.telemetry.dispatch import Telemetry
from infra.telemetry.events import DefectFound
from infra.telemetry.gateway_events import HttpAnswered

ASKED = {"prompt": "a forest with three coins"}
JSON = {"Content-Type": "application/json"}


class Emitted(list):
    """What the gateway emits."""

    def __call__(self, event: object) -> None:
        self.append(event)


@pytest.fixture
def emitted() -> Emitted:
    return Emitted()


@pytest_asyncio.fixture
async def http(emitted: Emitted) -> AsyncIterator[httpx2.AsyncClient]:
    settings = load(nats_url="nats://127.0.0.1:1", gateway={"hosts": ["games.example"], "body_bytes": 2048})
    app = create_app(Gateway(settings, telemetry=Telemetry(emitted)))

    @app.get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "slug"),
    [
        ("GET", "/nowhere", {}, 404, "not-found"),
        ("PUT", "/generate", {}, 405, "method-not-allowed"),
        ("POST", "/generate", {"content": b"{}"}, 415, "unsupported-media-type"),
        ("POST", "/generate", {"data": {"prompt": "x"}}, 415, "unsupported-media-type"),
        ("POST", "/generate", {"json": {"prompt": "x" * 3000}}, 413, "content-too-large"),
        ("POST", "/generate", {"json": {"prompt": ""}}, 422, "GEN_INVALID_REQUEST"),
        ("POST", "/generate", {"json": [1]}, 422, "GEN_INVALID_REQUEST"),
        ("POST", "/generate?kind=poem", {"json": ASKED}, 422, "GEN_INVALID_REQUEST"),
        ("POST", "/generate?kind=plot", {"json": {"kind": "scene", **ASKED}}, 422, "invalid-parameter"),
        ("POST", "/generate", {"json": {"kind": 7, **ASKED}}, 422, "GEN_INVALID_REQUEST"),
        (
            "POST",
            "/generate",
            {"content": b'{"kind":"\\ud800"}', "headers": JSON},
            422,
            "GEN_INVALID_REQUEST",
        ),
        (
            "POST",
            "/api/v1/generations/social-context/build",
            {"content": b'{"\\ud800":1}', "headers": JSON},
            422,
            "GEN_INVALID_REQUEST",
        ),
        (
            "POST",
            "/api/v1/generations/social-context/build",
            {"content": b"[" * 2000, "headers": JSON},
            400,
            "bad-request",
        ),
        ("POST", "/api/validate-generation-config?kind=poem", {"json": {}}, 422, "invalid-parameter"),
        ("POST", "/generate", {"json": ASKED, "headers": {"Idempotency-Key": ""}}, 422, "invalid-parameter"),
        ("POST", "/generate", {"json": ASKED}, 503, "broker-unavailable"),
        ("GET", "/api/generation-jobs/x?wait=61", {}, 422, "invalid-parameter"),
        ("GET", "/livez", {"headers": {"Host": "evil.example"}}, 421, "misdirected-request"),
        ("GET", "/problems/none", {}, 404, "not-found"),
        ("GET", "/defect", {}, 500, "GEN_INTERNAL"),
    ],
)
async def test_every_refusal_is_a_problem(
    http: httpx2.AsyncClient, method: str, path: str, options: dict, status: int, slug: str
) -> None:
    answer = await http.request(method, path, **options)
    body = answer.json()
    assert answer.status_code == body["status"] == status, body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"/problems/{slug}"
    assert body["title"]
    assert body["detail"]
    explained = await http.get(body["type"])
    assert explained.status_code == 200
    assert explained.json()["title"] == body["title"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 503),
        ("https://games.example", 503),
        ("https://games.example:444", 503),
        ("http://localhost:3000", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    http: httpx2.AsyncClient, origin: str, status: int
) -> None:
    path = "/api/v1/generations/x/cancel"
    assert (await http.post(path, headers={"Origin": origin})).status_code == status
    assert (await http.get("/livez", headers={"Origin": origin})).status_code == 200


async def test_a_method_that_a_path_lacks_is_405_with_all_that_it_has(http: httpx2.AsyncClient) -> None:
    answers = [
        await http.request(method, path)
        for method, path in (
            ("OPTIONS", "/api/v1/generations"),
            ("PUT", "/generate"),
            ("PATCH", "/api/session"),
        )
    ]
    assert [(each.status_code, each.headers["Allow"]) for each in answers] == [
        (405, "GET, POST"),
        (405, "POST"),
        (405, "DELETE, GET, POST"),
    ]


async def test_a_body_in_pieces_is_cut_at_the_same_size(http: httpx2.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    answer = await http.post("/generate", content=pieces(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/content-too-large")


async def test_answers_and_defects_are_emitted(http: httpx2.AsyncClient, emitted: Emitted) -> None:
    await http.get("/livez")
    await http.get("/defect")
    answers = [each for each in emitted if isinstance(each, HttpAnswered)]
    assert [(each.method, each.route, each.status) for each in answers] == [
        ("GET", "/livez", 200),
        ("GET", "/defect", 500),
    ]
    assert [type(each.raised) for each in emitted if isinstance(each, DefectFound)] == [ZeroDivisionError]


async def test_the_document_names_no_schema_that_is_missing(http: httpx2.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    text = str(document)
    named = {part.partition("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in text


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("localhost", True),
        ("localhost:8787", True),
        ("LOCALHOST", True),
        ("127.0.0.1:1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("[::1]:8787", True),
        ("games.example:443", True),
        ("GAMES.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:x", False),
        ("", False),
        ("192.168.0.7", False),
    ],
)
def test_only_names_of_this_machine_and_of_the_settings_are_known(header: str, *, known: bool) -> None:
    assert knows_host(header, {"games.example"}) is known


@pytest.mark.parametrize(
    ("key", "workspace", "expected"),
    [
        ("order-1", None, "order-1"),
        ('"order-1"', None, "order-1"),
        ("a b", None, "ik-32"),
        ("order-1", "red", "ik-32"),
        ("x" * 65, None, "ik-32"),
    ],
)
def test_a_key_is_an_id_or_is_hashed_with_its_workspace(
    key: str, workspace: str | None, expected: str
) -> None:
    found = derive_id(key, workspace)
    if expected != "ik-32":
        assert found == expected
        return
    assert found.startswith("ik-")
    assert len(found) == 35
    assert found == derive_id(key, workspace) != derive_id(key, "blue")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\nb"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Problem, match="1 to 255"):
        derive_id(key, None)


@pytest.mark.parametrize(
    ("values", "wait_s", "applied"),
    [
        ([], 5, ""),
        (["wait=10"], 10, "wait=10"),
        (["wait=600"], 60, "wait=60"),
        (["wait=0"], 0, "wait=0"),
        (["respond-async"], 0, "respond-async"),
        (["Respond-Async, wait=7; x=y"], 7, "wait=7, respond-async"),
        (["return=minimal", "wait=3"], 3, "wait=3"),
        (["wait=-1"], 5, ""),
        (["wait=٣"], 5, ""),
    ],
)
def test_preferences(values: list[str], wait_s: int, applied: str) -> None:
    found = read_preference(values)
    assert (found.wait_s, found.applied) == (wait_s, applied)


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("", ""),
        ("prompt", "/prompt"),
        ("node.constraints.0", "/node/constraints/0"),
        ("node.scenes[2].name", "/node/scenes/2/name"),
        ("a/b.c~d", "/a~1b/c~0d"),
    ],
)
def test_a_dotted_path_is_a_json_pointer(path: str, pointer: str) -> None:
    assert pointer_of(path) == pointer


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (RequestError("prompt", "is empty"), 422, ErrorCode.GEN_INVALID_REQUEST),
        (client_errors.Busy(), 503, "busy"),
        (client_errors.BrokerLost("nats://x", "r-1"), 503, "broker-unavailable"),
        (client_errors.NotSetUp(), 503, "broker-unavailable"),
        (Unavailable("away"), 503, "broker-unavailable"),
        (client_errors.NoResult("r-1", 3), 504, "no-result-in-time"),
        (OperationalError("select", {}, Exception("no such table")), 503, "audit-unavailable"),
        (UnderstudyError("no"), 409, "conflict"),
        (KeyError("x"), 500, ErrorCode.GEN_INTERNAL),
    ],
)
def test_errors_of_the_pipeline_as_problems(error: Exception, status: int, slug: str) -> None:
    found = convert(error)
    assert (found.status_code, found.slug) == (status, slug)
    if status == 503:
        assert found.headers is not None
        assert found.headers["Retry-After"]


def test_every_type_of_problem_has_a_title_and_a_meaning() -> None:
    assert all(title and meaning for title, meaning in problems.TYPES.values())


def test_roles_include_those_below() -> None:
    check_role(LOCAL_USER, AccessRole.ADMIN)
    check_role(Principal(role=AccessRole.OPERATOR), AccessRole.DESIGNER)
    with pytest.raises(Problem, match="needs the role operator, the token has viewer"):
        check_role(Principal(role=AccessRole.VIEWER), AccessRole.OPERATOR)


def test_another_workspace_is_not_found() -> None:
    check_workspace(Principal(role=AccessRole.CLIENT), "red", "request r-1")
    check_workspace(Principal(role=AccessRole.CLIENT, workspace="red"), "red", "request r-1")
    for other in ("blue", None):
        with pytest.raises(Problem) as caught:
            check_workspace(Principal(role=AccessRole.ADMIN, workspace="red"), other, "request r-1")
        assert caught.value.status_code == 404


def test_entity_tags_match_weakly() -> None:
    assert matches('"a", W/"b"', '"b"')
    assert matches("*", '"b"')
    assert not matches('"a"', '"b"')
    assert not matches(None, '"b"')
