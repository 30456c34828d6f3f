"""Publishing of calls: the order of a call, its progress, and its checked answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from understudy_client import NoResult, new_id
from understudy_client.protocol import TRACEPARENT

from contracts.errors import ErrorCode
from contracts.request import RequestError
from infra.app.pipeline_client import check
from infra.gateway import answers, submission
from infra.gateway.middleware import REQUEST_ID
from infra.gateway.openai_api.error_form import NO_RETRY, refuse_parameter
from infra.gateway.openai_api.model_answer import build_answer, check_result
from infra.gateway.openai_api.model_call import encode_fields
from infra.gateway.openai_api.model_names import OWN
from infra.gateway.orders import KEY_HEADER, GenerationOrder, derive_id
from infra.gateway.problems import Problem, parameter_problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from understudy_client import Progress, Result

    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway
    from infra.gateway.hub import EventHub
    from infra.gateway.openai_api.model_answer import ModelAnswer
    from infra.gateway.openai_api.model_call import ModelCall

REQUIRE_HEADER: Final = "Understudy-Require"
STREAM_HEADER: Final = "Understudy-Stream"
#: Seconds in which a result that the log has is read.
_READ_S: Final = 5.0


class CallRun:
    """One call, ready to be published.

    Args:
        gateway: the gateway.
        sender: who calls.
        order: the call as a request for generation.
        live: only a model's own content will do.
        raw: its tokens are sent before they are checked.
    """

    def __init__(
        self, gateway: Gateway, sender: Principal, order: GenerationOrder, *, live: bool, raw: bool
    ) -> None:
        self._gateway = gateway
        self.sender = sender
        self.order = order
        self.live = live
        self.raw = raw

    @property
    def headers(self) -> dict[str, str]:
        """The headers that are known before the result."""
        return {"Understudy-Request-Id": self.order.request_id, "x-request-id": self.order.request_id}

    @property
    def hub(self) -> EventHub:
        """Knows the open streams."""
        return self._gateway.hub

    @property
    def created(self) -> int:
        """Seconds since the epoch."""
        return self._gateway.now_ms() // 1000

    async def answer(self) -> ModelAnswer:
        """Publish the call and wait for its answer.

        Raises:
            Problem, ClientError, Unavailable: there is none; the error says why.
        """
        patience_s = await submission.patience_s(self._gateway, self.order)
        return await self._check(await submission.ask(self._gateway, self.order, patience_s))

    async def follow(self, heard: asyncio.Queue[Progress | None]) -> ModelAnswer:
        """Publish the call, pass its progress on, and wait for its answer.

        Raises:
            Problem, ClientError, Unavailable: there is none; the error says why.
        """
        gateway, request_id = self._gateway, self.order.request_id
        patience_s = await submission.patience_s(gateway, self.order)
        submitted = await submission.submit(gateway, self.order)
        result: Result | None = None
        async with gateway.wait(request_id):
            with contextlib.suppress(TimeoutError):
                async with (
                    asyncio.timeout(patience_s),
                    contextlib.aclosing(gateway.client.progress(submitted)) as pieces,
                ):
                    async for piece in pieces:
                        heard.put_nowait(piece)
            with contextlib.suppress(NoResult):
                result = await gateway.client.wait(submitted, timeout_s=_READ_S)
        return await self._check(result)

    async def _check(self, result: Result | None) -> ModelAnswer:
        if result is None:
            request_id = self.order.request_id
            raise Problem(
                504,
                "no-result-in-time",
                f"no result for {request_id} within its deadline; the request goes on",
                request_id=request_id,
                headers={"Location": answers.job_path(request_id)} | NO_RETRY,
            )
        check_result(result, live=self.live)
        found = await answers.whole(self._gateway, result)
        return build_answer(found, now_ms=self._gateway.now_ms())


def prepare(gateway: Gateway, principal: Principal, request: Request, call: ModelCall) -> CallRun:
    """Check a call as the pipeline will.

    Args:
        gateway: the gateway.
        principal: who asks.
        request: whose headers count.
        call: the call.

    Raises:
        Problem: 400 or 422, naming the parameter or header.
    """
    key = request.headers.get(KEY_HEADER)
    request_id = new_id() if key is None else derive_id(key, principal.workspace)
    required = _choice(request, REQUIRE_HEADER, ("live",))
    raw = _choice(request, STREAM_HEADER, ("raw", "checked")) == "raw"
    fields = call.fields | _workspace(principal, call.fields)
    body = encode_fields(fields)
    try:
        asked = check(call.kind, request_id, body)
    except RequestError as error:
        path, said = error.faults[0]
        raise refuse_parameter(call.name_parameter(path), said, code=ErrorCode.GEN_INVALID_REQUEST) from None
    request.scope[REQUEST_ID] = request_id
    order = GenerationOrder(
        kind=call.kind,
        request_id=request_id,
        body=body,
        asked=asked,
        traceparent=request.headers.get(TRACEPARENT),
    )
    live = required is not None or principal.require_live
    return CallRun(gateway, principal, order, live=live, raw=raw)


def _workspace(principal: Principal, fields: dict[str, Any]) -> dict[str, Any]:
    own = principal.workspace
    if own is None:
        return {}
    if fields.get("workspace") not in (None, own):
        raise Problem(403, "forbidden", f"{OWN}.workspace: the token belongs to workspace {own}")
    return {"workspace": own}


def _choice(request: Request, name: str, allowed: tuple[str, ...]) -> str | None:
    value = request.headers.get(name)
    if value is None:
        return None
    found = value.strip().lower()
    if found not in allowed:
        raise parameter_problem(name, f"must be {' or '.join(allowed)}")
    return found
