"""`/v1`: OpenAI's API in front of the pipeline, for clients that speak nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from infra.gateway import answers
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.gateway import Gateway, Here
from infra.gateway.openai_api import documents
from infra.gateway.openai_api.call_stream import Frames, stream_checked, stream_raw
from infra.gateway.openai_api.chat_input import read_chat
from infra.gateway.openai_api.chat_output import ChatChunks, build_completion
from infra.gateway.openai_api.error_form import refuse_parameter
from infra.gateway.openai_api.model_answer import ModelAnswer
from infra.gateway.openai_api.model_call import ChooseKind, ModelCall
from infra.gateway.openai_api.model_names import choose_kind, list_models
from infra.gateway.openai_api.publishing import prepare
from infra.gateway.openai_api.responses_input import read_response_call
from infra.gateway.openai_api.responses_output import ResponseEvents, build_response
from infra.gateway.orders import read_body

router: Final = APIRouter(prefix="/v1", tags=["openai"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]


@router.get("/models", summary="The models that a call may name", responses=documents.MODELS)
async def models(gateway: Here, principal: _Client) -> Response:
    """`understudy/<kind>` for each content kind, then the models that the settings route."""
    del principal
    found = await asyncio.to_thread(list_models, gateway.settings)
    return answers.json_answer({"object": "list", "data": found})


@router.get("/models/{model:path}", summary="One model", responses=documents.MODEL)
async def model(model: str, gateway: Here, principal: _Client) -> Response:
    """A model of the list."""
    del principal
    found = await asyncio.to_thread(list_models, gateway.settings)
    for each in found:
        if each["id"] == model:
            return answers.json_answer(each)
    raise refuse_parameter("model", f"there is no model {model!r}", code="model_not_found", status=404)


@router.post(
    "/chat/completions",
    summary="Generate content as a chat completion",
    responses=documents.COMPLETION,
    openapi_extra=documents.CHAT_CALL,
)
async def chat(request: Request, gateway: Here, principal: _Client) -> Response:
    """The document is the message's text, as JSON; the object `understudy` says where it comes from.

    A stand-in is an answer, too, unless `Understudy-Require: live` is sent.
    """
    return await _answer(request, gateway, principal, read_chat, build_completion, ChatChunks)


@router.post(
    "/responses",
    summary="Generate content as a response, without a memory",
    responses=documents.RESPONSE,
    openapi_extra=documents.RESPONSE_CALL,
)
async def responses(request: Request, gateway: Here, principal: _Client) -> Response:
    """As chat completions; nothing is stored, so that `previous_response_id` is refused."""
    return await _answer(request, gateway, principal, read_response_call, build_response, ResponseEvents)


async def _answer(
    request: Request,
    gateway: Gateway,
    principal: Principal,
    read: Callable[[bytes, ChooseKind], ModelCall],
    build: Callable[[ModelCall, ModelAnswer], dict[str, Any]],
    frames: Callable[[ModelCall, str, int], Frames],
) -> Response:
    body = await read_body(gateway, request)

    def choose(name: str, schema: bool, object_only: bool) -> str:  # noqa: FBT001 - as the type has it
        return choose_kind(gateway.settings, name, schema=schema, object_only=object_only)

    # A routed model's name may be in a file.
    call = await asyncio.to_thread(read, body, choose)
    run = prepare(gateway, principal, request, call)
    if not call.stream:
        answer = await run.answer()
        return answers.json_answer(build(call, answer), headers=answer.headers)
    shown = frames(call, run.order.request_id, run.created)
    return stream_raw(run, shown) if run.raw else await stream_checked(run, shown)
