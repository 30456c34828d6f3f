"""Chat completions: their parameters, read as a request for generation."""

from __future__ import annotations

from typing import Any, Final

from infra.gateway.openai_api.error_form import refuse_parameter
from infra.gateway.openai_api.model_call import (
    ChooseKind,
    ModelCall,
    Parameters,
    join_turns,
    read_call,
    read_content,
    read_format,
    require_list,
    require_object,
)
from infra.gateway.openai_api.model_names import OWN

KNOWN: Final = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "response_format",
        "seed",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        OWN,
    }
)
#: They change nothing about the content.
IGNORED: Final = frozenset(
    {
        "metadata",
        "moderation",
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
        "verbosity",
    }
)
#: They cannot be honoured; with one of these values they ask for nothing.
IDLE: Final[dict[str, tuple[Any, ...]]] = {
    "audio": (),
    "frequency_penalty": (0, 0.0),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0, 0.0),
    "stop": ([],),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "web_search_options": (),
}
_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation"})


def read_chat(body: bytes, choose: ChooseKind) -> ModelCall:
    """Read the body of ``POST /v1/chat/completions``.

    Args:
        body: the body.
        choose: chooses the kind.

    Raises:
        Problem: 400 or 404, naming the parameter.
    """
    values = Parameters(body, known=KNOWN, ignored=IGNORED, idle=IDLE)
    most = "max_tokens"
    if "max_completion_tokens" in values:
        if most in values:
            raise refuse_parameter(most, "is also given as max_completion_tokens; keep one of them")
        most = "max_completion_tokens"
    return read_call(
        values,
        choose,
        prompt=(_read_messages(values.get("messages")), "messages"),
        answer=(
            read_format(values.get("response_format"), "response_format", nested=True),
            "response_format.json_schema.schema",
        ),
        most_tokens=most,
        stream_usage=_read_stream_options(values),
    )


def _read_messages(value: Any) -> str:
    if value is None:
        raise refuse_parameter("messages", "is required", code="missing_required_parameter")
    turns: list[tuple[str, str]] = []
    for number, each in enumerate(require_list(value, "messages")):
        where = f"messages.{number}"
        message = require_object(each, where)
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise refuse_parameter(
                f"{where}.role", f"must be one of {', '.join(_ROLES)}", code="unsupported_value"
            )
        for name in ("tool_calls", "function_call", "audio"):
            if message.get(name):
                raise refuse_parameter(
                    f"{where}.{name}", "is not supported; leave it out", code="unsupported_parameter"
                )
        if role == "assistant" and "content" not in message:
            continue
        types = ("text", "refusal") if role == "assistant" else ("text",)
        turns.append((_ROLES[role], read_content(message.get("content"), f"{where}.content", types)))
    return join_turns(turns, "messages")


def _read_stream_options(values: Parameters) -> bool:
    options = values.members("stream_options")
    if options and not values.flag("stream"):
        raise refuse_parameter("stream_options", "is for stream: true only")
    for name, each in options.items():
        if name not in _STREAM_OPTIONS:
            raise refuse_parameter(f"stream_options.{name}", "is unknown", code="unknown_parameter")
        if not isinstance(each, bool):
            raise refuse_parameter(f"stream_options.{name}", "must be true or false", code="invalid_type")
    return bool(options.get("include_usage"))
