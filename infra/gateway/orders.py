"""Orders: requests for generation, read from HTTP and checked as the pipeline checks them."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from understudy_client import new_id
from understudy_client.protocol import TRACEPARENT

from contracts import subjects
from contracts.duplicate_names import find_duplicates
from contracts.nodes.field_aliases import format_path
from contracts.request import RequestError, build_refusal
from infra.app.kind_choice import choose_kind
from infra.app.pipeline_client import check
from infra.gateway.middleware import REQUEST_ID
from infra.gateway.node_references import resolve_node
from infra.gateway.problems import Problem, parameter_problem
from infra.gateway.replay_fields import check_replay_fields

if TYPE_CHECKING:
    from starlette.requests import Request

    from contracts.request import GenerationRequest
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway

#: Characters of an idempotency key at most.
MAX_KEY: Final = 255
KEY_HEADER: Final = "Idempotency-Key"
#: A string of a structured field (RFC 8941), which draft-07 of Idempotency-Key asks for.
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_JSON: Final = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_decode_optional: Final = msgspec.json.Decoder(str | None).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class GenerationOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A request for generation, checked and ready to be published."""

    kind: str
    request_id: str
    #: As it is published.
    body: bytes
    #: The body, read.
    asked: Any
    #: The span that asks (W3C Trace Context); ``None``: none.
    traceparent: str | None = None

    @property
    def request(self) -> GenerationRequest:
        """The body, read."""
        asked: GenerationRequest = self.asked
        return asked


async def read_order(gateway: Gateway, principal: Principal, request: Request) -> GenerationOrder:
    """Read and check the request for generation in an HTTP request.

    The body is that of a request on NATS; its kind is in the query (``?kind=``) or in a field ``kind`` beside the
    others.

    Raises:
        Problem: 415, 408, 413, 422; 403 or 404, as :func:`infra.gateway.replay_fields.check_replay_fields`.
        RequestError: the pipeline would reject the body.
    """
    key = request.headers.get(KEY_HEADER)
    request_id = new_id() if key is None else derive_id(key, principal.workspace)
    body = await read_body(gateway, request)
    kind = request.query_params.get("kind")
    named = None
    if b'"kind"' in body or principal.workspace is not None:
        body, named = _rewrite(body, principal.workspace)
    body = await resolve_node(gateway, body, joins=None if key is None else request_id)
    if kind is not None and named not in (None, kind):
        raise parameter_problem("kind", f"is {kind!r}, and {named!r} in the body; keep one of them")
    kind = kind or named or await _choose_kind(gateway, body)
    asked = check(kind, request_id, body)
    await check_replay_fields(gateway, principal, asked)
    request.scope[REQUEST_ID] = request_id
    return GenerationOrder(
        kind=kind,
        request_id=request_id,
        body=body,
        asked=asked,
        traceparent=request.headers.get(TRACEPARENT),
    )


def derive_id(key: str, workspace: str | None) -> str:
    """The request id that an idempotency key means.

    Where the sender is bound to no workspace, a key of the form of an id is the id.  Any other key is hashed together
    with the workspace, so that two workspaces cannot meet in one id.

    Raises:
        Problem: 422, it is no key.
    """
    quoted = _QUOTED.fullmatch(key.strip())
    plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else key.strip()
    if not 1 <= len(plain) <= MAX_KEY or not plain.isprintable():
        raise parameter_problem(KEY_HEADER, f"must have 1 to {MAX_KEY} printable characters")
    if workspace is None and subjects.REQUEST_ID.fullmatch(plain):
        return plain
    digest = hashlib.sha256(f"{workspace or ''}\n{plain}".encode()).hexdigest()
    return f"ik-{digest[:32]}"


async def read_body(gateway: Gateway, request: Request, *, form: re.Pattern[str] = _JSON) -> bytes:
    """The bytes of a JSON body; the middleware bounds its size.

    Args:
        gateway: its settings bound the time.
        request: the request.
        form: the media types that are accepted.

    Raises:
        Problem: 415, it is not declared as JSON, as a form of another site would be; 408, it comes too slowly.
    """
    declared = request.headers.get("content-type", "")
    if form.fullmatch(declared.strip()) is None:
        raise Problem(
            415,
            "unsupported-media-type",
            f"Content-Type is {declared!r}; send JSON with Content-Type: application/json",
            headers={"Accept-Post": "application/json"},
        )
    seconds = gateway.settings.gateway.body_seconds
    try:
        async with asyncio.timeout(seconds):
            return await request.body()
    except TimeoutError:
        raise Problem(
            408,
            "body-timeout",
            f"the body did not arrive within {seconds:g} s",
            headers={"Connection": "close"},
        ) from None


async def _choose_kind(gateway: Gateway, body: bytes) -> str:
    def choose() -> str:
        return choose_kind(body, templates=lambda: gateway.settings.templates_dir)

    # A template's kind is in a file.
    return await asyncio.to_thread(choose) if b"emplate" in body else choose()


def _rewrite(body: bytes, workspace: str | None) -> tuple[bytes, str | None]:
    """The body without its field ``kind``, in the sender's workspace; and the kind."""
    try:
        fields = _decode_object(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # The check says what is wrong.
        return body, None
    twice = find_duplicates(body)
    if twice:
        raise build_refusal(
            [(format_path(map(str, place)), "appears twice; keep one of them") for place in twice]
        )
    kind = _decode_text(fields.pop("kind", None), "kind")
    if workspace is not None:
        if _decode_text(fields.get("workspace"), "workspace") not in (None, workspace):
            raise Problem(403, "forbidden", f"the token belongs to workspace {workspace}")
        fields["workspace"] = msgspec.Raw(msgspec.json.encode(workspace))
    return msgspec.json.encode(fields), kind


def _decode_text(raw: msgspec.Raw | None, field: str) -> str | None:
    try:
        return None if raw is None else _decode_optional(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RequestError(field, "must be a text") from None
