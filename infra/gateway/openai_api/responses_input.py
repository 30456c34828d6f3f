"""Responses without a memory: their parameters, read as a request for generation."""

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
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "stream",
        "temperature",
        "text",
        "top_p",
        OWN,
    }
)
#: They change nothing about the content; ``store``: nothing is kept for a later call.
IGNORED: Final = frozenset(
    {
        "max_tool_calls",
        "moderation",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "truncation",
        "user",
    }
)
#: They cannot be honoured; with one of these values they ask for nothing.
IDLE: Final[dict[str, tuple[Any, ...]]] = {
    "access_programs": (),
    "background": (False,),
    "context_management": ([],),
    "conversation": (),
    "image": (),
    "include": ([],),
    "previous_response_id": (),
    "prompt": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_PARTS: Final = {"assistant": ("output_text", "input_text", "refusal")}
_ECHOED: Final = ("instructions", "max_output_tokens", "metadata", "temperature", "text", "top_p")


def read_response_call(body: bytes, choose: ChooseKind) -> ModelCall:
    """Read the body of ``POST /v1/responses``.

    Args:
        body: the body.
        choose: chooses the kind.

    Raises:
        Problem: 400 or 404, naming the parameter.
    """
    values = Parameters(body, known=KNOWN, ignored=IGNORED, idle=IDLE)
    text = values.members("text")
    for name in text:
        if name not in ("format", "verbosity"):
            raise refuse_parameter(f"text.{name}", "is unknown", code="unknown_parameter")
    values.members("metadata")
    return read_call(
        values,
        choose,
        prompt=(_read_input(values), "input"),
        answer=(read_format(text.get("format"), "text.format", nested=False), "text.format.schema"),
        most_tokens="max_output_tokens",
        echo={name: values.get(name) for name in _ECHOED if name in values},
    )


def _read_input(values: Parameters) -> str:
    instructions = values.text("instructions")
    turns = [] if instructions is None else [("system", instructions)]
    value = values.get("input")
    if value is None:
        raise refuse_parameter("input", "is required", code="missing_required_parameter")
    if isinstance(value, str):
        if not value.strip():
            raise refuse_parameter("input", "must not be blank", code="missing_required_parameter")
        return join_turns([*turns, ("user", value)], "input")
    for number, each in enumerate(require_list(value, "input")):
        where = f"input.{number}"
        item = require_object(each, where)
        if item.get("type", "message") != "message":
            raise refuse_parameter(f"{where}.type", "must be message", code="unsupported_value")
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise refuse_parameter(
                f"{where}.role", f"must be one of {', '.join(_ROLES)}", code="unsupported_value"
            )
        types = _PARTS.get(role, ("input_text",))
        turns.append((_ROLES[role], read_content(item.get("content"), f"{where}.content", types)))
    return join_turns(turns, "input")
