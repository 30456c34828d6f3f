"""Model calls: what a body of OpenAI's API asks of the pipeline, and the faults of such bodies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from contracts.duplicate_names import find_duplicates
from contracts.nodes.field_aliases import format_path
from contracts.request import GenerationRequest
from infra.gateway.openai_api.error_form import refuse_parameter
from infra.gateway.openai_api.model_names import CUSTOM, OWN

if TYPE_CHECKING:
    from understudy_client import Result

#: Chooses the kind: model, whether there is a schema, whether any JSON object is asked for.
ChooseKind = Callable[[str, bool, bool], str]

#: Fields of the pipeline's request that the object ``understudy`` of a body may set.
_EXTRA: Final = frozenset(
    {
        "deadline_ms",
        "fallback",
        "node",
        "player_context",
        "prompt_config",
        "rules",
        "scene_from",
        "scene_to",
        "scenes",
        "seed",
        "social",
        "tags",
        "template_id",
        "workspace",
        "world",
    }
)
_ALIASES: Final = {str(field.alias): name for name, field in GenerationRequest.model_fields.items()}
#: The highest bound of a text that the pipeline accepts, tokens.
_MOST_TOKENS: Final = 32_000
#: Schema of a custom document where any JSON object will do.
_ANY_OBJECT: Final = {"type": "object"}


class ModelCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of OpenAI's API, as a request for generation."""

    #: The model that was asked for.
    model: str
    kind: str
    #: Fields of the pipeline's request.
    fields: dict[str, Any]
    #: The parameter behind each field, for errors.
    sources: dict[str, str]
    stream: bool = False
    #: The stream ends with the usage.
    stream_usage: bool = False
    #: Parameters that the answer repeats.
    echo: dict[str, Any] = {}

    def name_parameter(self, path: str) -> str:
        """The parameter behind a dotted path of the pipeline's request."""
        for field, name in self.sources.items():
            if path == field or path.startswith((f"{field}.", f"{field}[")):
                return name + path[len(field) :]
        return f"{OWN}.{path}" if path else ""


class AnswerFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The format of the answer that a call asks for."""

    schema: dict[str, Any] | None = None
    any_object: bool = False


class Parameters:
    """The parameters of one body; ``null`` is as good as none.

    Args:
        body: the body.
        known: parameters that are read.
        ignored: parameters that have no effect.
        idle: parameters that cannot be honoured, with the values that ask for nothing.

    Raises:
        Problem: 400, the body is no JSON object, or has a parameter that is unknown or cannot be honoured.
    """

    def __init__(
        self,
        body: bytes,
        *,
        known: Collection[str],
        ignored: Collection[str],
        idle: Mapping[str, tuple[Any, ...]],
    ) -> None:
        self._values = {name: each for name, each in _decode(body).items() if each is not None}
        for name, value in self._values.items():
            if name in idle:
                if not any(type(value) is type(each) and value == each for each in idle[name]):
                    raise refuse_parameter(
                        name, "is not supported; leave it out", code="unsupported_parameter"
                    )
            elif name not in known and name not in ignored:
                raise refuse_parameter(name, "is unknown", code="unknown_parameter")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """A value of any type; ``None`` without one."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """A text.

        Raises:
            Problem: 400, it is none.
        """
        value = self._values.get(name)
        return None if value is None else require_text(value, name)

    def flag(self, name: str) -> bool:
        """A truth value; false without one.

        Raises:
            Problem: 400, it is none.
        """
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise refuse_parameter(name, "must be true or false", code="invalid_type")
        return value

    def members(self, name: str) -> dict[str, Any]:
        """An object's members that are not ``null``; none without one.

        Raises:
            Problem: 400, it is no object.
        """
        return require_object(self._values.get(name, {}), name)


def read_call(
    values: Parameters,
    choose: ChooseKind,
    *,
    prompt: tuple[str, str],
    answer: tuple[AnswerFormat, str],
    most_tokens: str,
    stream_usage: bool = False,
    echo: dict[str, Any] | None = None,
) -> ModelCall:
    """The call that some parameters make.

    Args:
        values: the body.
        choose: chooses the kind.
        prompt: the prompt, and the parameter that it is from.
        answer: the format, and the parameter that has the schema.
        most_tokens: the parameter that bounds the tokens.
        stream_usage: the stream ends with the usage.
        echo: parameters that the answer repeats.

    Raises:
        Problem: 400 or 404, naming the parameter.
    """
    model = values.text("model")
    if not model:
        raise refuse_parameter(
            "model", "is required; GET /v1/models lists them", code="missing_required_parameter"
        )
    form, schema_from = answer
    kind = choose(model, form.schema is not None, form.any_object)
    fields = _read_extra(values)
    sources = {"prompt": prompt[1], "schema": schema_from}
    fields["prompt"] = prompt[0]
    if kind == CUSTOM:
        fields["schema"] = _ANY_OBJECT if form.schema is None else form.schema
    params: dict[str, Any] = {}
    for field, name in (("temperature",) * 2, ("top_p",) * 2, ("max_tokens", most_tokens)):
        if name in values:
            params[field] = values.get(name)
            if field == "max_tokens" and type(params[field]) is int:
                # A higher bound bounds nothing more.
                params[field] = min(params[field], _MOST_TOKENS)
            sources[f"params.{field}"] = name
    if params:
        fields["params"] = params
    if "seed" in values:
        if "seed" in fields:
            raise refuse_parameter(f"{OWN}.seed", "is also given as seed; keep one of them")
        fields["seed"] = values.get("seed")
        sources["seed"] = "seed"
    return ModelCall(
        model=model,
        kind=kind,
        fields=fields,
        sources=sources,
        stream=values.flag("stream"),
        stream_usage=stream_usage,
        echo=echo or {},
    )


def read_format(value: Any, name: str, *, nested: bool) -> AnswerFormat:
    """Read the format of the answer.

    Args:
        value: what the body says; ``None``: nothing.
        name: the parameter.
        nested: the schema is in an object ``json_schema``, as chat completions have it.

    Raises:
        Problem: 400, it is none.
    """
    if value is None:
        return AnswerFormat()
    form = require_object(value, name)
    match form.get("type"):
        case "text":
            return AnswerFormat()
        case "json_object":
            return AnswerFormat(any_object=True)
        case "json_schema":
            where = f"{name}.json_schema" if nested else name
            holder = require_object(form.get("json_schema"), where) if nested else form
            schema = holder.get("schema")
            if not isinstance(schema, dict):
                raise refuse_parameter(
                    f"{where}.schema", "must be a JSON Schema, an object", code="invalid_type"
                )
            return AnswerFormat(schema=cast("dict[str, Any]", schema))
        case _:
            raise refuse_parameter(f"{name}.type", "must be text, json_object or json_schema")


def join_turns(turns: list[tuple[str, str]], name: str) -> str:
    """One prompt for the turns of a conversation, a role and a text each.

    Without an answer of the assistant the texts follow one another; with one, each turn of the two has its speaker.

    Raises:
        Problem: 400, they say nothing.
    """
    said = [(role, text.strip()) for role, text in turns if text.strip()]
    if not said:
        raise refuse_parameter(name, "must contain a text", code="missing_required_parameter")
    speaks = any(role == "assistant" for role, _ in said)
    speakers = {"user": "User: ", "assistant": "Assistant: "} if speaks else {}
    return "\n\n".join(speakers.get(role, "") + text for role, text in said)


def read_content(value: Any, name: str, types: Collection[str]) -> str:
    """The text of a message: a text, or a list of parts of some types.

    Raises:
        Problem: 400, it is none, or a part is no text.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise refuse_parameter(name, "must be a text, or a list of parts", code="invalid_type")
    texts: list[str] = []
    for number, each in enumerate(cast("list[Any]", value)):
        where = f"{name}.{number}"
        part = require_object(each, where)
        if part.get("type") not in types:
            raise refuse_parameter(
                f"{where}.type", f"must be {' or '.join(types)}: only text is read", code="unsupported_value"
            )
        held = "refusal" if part["type"] == "refusal" else "text"
        texts.append(require_text(part.get(held), f"{where}.{held}"))
    return "\n".join(texts)


def require_text(value: Any, name: str) -> str:
    """A value that must be a text.

    Raises:
        Problem: 400, it is none.
    """
    if not isinstance(value, str):
        raise refuse_parameter(name, "must be a text", code="invalid_type")
    return value


def require_object(value: Any, name: str) -> dict[str, Any]:
    """A value that must be an object; its members that are not ``null``.

    Raises:
        Problem: 400, it is none.
    """
    if not isinstance(value, dict):
        raise refuse_parameter(name, "must be an object", code="invalid_type")
    members = cast("dict[str, Any]", value)
    return {key: each for key, each in members.items() if each is not None}


def require_list(value: Any, name: str) -> list[Any]:
    """A value that must be a list.

    Raises:
        Problem: 400, it is none.
    """
    if not isinstance(value, list):
        raise refuse_parameter(name, "must be a list", code="invalid_type")
    return cast("list[Any]", value)


def usage_of(result: Result) -> tuple[int, int] | None:
    """Prompt and completion tokens of all calls for a result; ``None``: they are not known."""
    tokens = result.meta.cost.tokens
    if tokens.prompt is None or tokens.completion is None:
        return None
    return tokens.prompt, tokens.completion


def _decode(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = "is nested too deep" if isinstance(error, RecursionError) else f"is no JSON: {error}"
        raise refuse_parameter("", f"the body {said}", code="invalid_json") from None
    twice = find_duplicates(body)
    if twice:
        raise refuse_parameter(format_path(map(str, twice[0])), "appears twice; keep one of them")
    if not isinstance(found, dict):
        raise refuse_parameter("", "the body must be a JSON object", code="invalid_type")
    return cast("dict[str, Any]", found)


def _read_extra(values: Parameters) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for given, value in values.members(OWN).items():
        name = _ALIASES.get(given, given)
        if name not in _EXTRA:
            raise refuse_parameter(
                f"{OWN}.{given}",
                f"is no field for it; use {', '.join(sorted(_EXTRA))}",
                code="unknown_parameter",
            )
        if name in fields:
            raise refuse_parameter(f"{OWN}.{given}", "appears twice; keep one of them")
        fields[name] = value
    return fields


def encode_fields(fields: dict[str, Any]) -> bytes:
    """The body of the pipeline's request.

    Raises:
        Problem: 400, a value has no form there.
    """
    try:
        return msgspec.json.encode(fields)
    except (UnicodeEncodeError, OverflowError, RecursionError, msgspec.MsgspecError):
        raise refuse_parameter("", "the body has a text or number that JSON cannot carry") from None
