"""Edits of a request's body: ``params.temperature=0.2``, checked against the fields that a request has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin

import msgspec
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from contracts.errors import UnderstudyError
from contracts.lineage import DESCENT
from contracts.policy.prompts import FAMILY
from contracts.request import GenerationRequest

#: The key of the provider that writes instead of the routed one; a request itself cannot name it.
MODEL: Final = "model"
#: Fields that shape the prose alone.
PROSE: Final = frozenset({"prompt", "prompt_config", "params", "seed"})
#: A value of ``prompt`` that selects a version of a prompt family.
_VERSION: Final = re.compile(rf"{FAMILY}@[1-9][0-9]{{0,5}}")


class EditError(UnderstudyError):
    """An edit that no request can have; the text names the key and what is allowed."""


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """A new value of one field."""

    #: Names of the fields from the outside in, in snake_case.
    path: tuple[str, ...]
    #: ``UNSET`` removes the field.
    value: Any = msgspec.UNSET

    @property
    def key(self) -> str:
        """The path, dotted."""
        return ".".join(self.path)


class Edits(msgspec.Struct, frozen=True, kw_only=True):
    """What a rerun changes."""

    fields: tuple[Edit, ...] = ()
    #: Provider, or model of one provider, that writes instead of the routed one.
    model: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are set, dotted."""
        return (*(each.key for each in self.fields), *((MODEL,) if self.model else ()))


def parse_edits(given: Sequence[str]) -> Edits:
    """Read assignments ``key=value``.

    A value is JSON where the field takes more than a text and the value is JSON; otherwise it is the text itself.  An
    empty value removes the field.  ``prompt=layout@2`` selects a prompt version, any other ``prompt`` is the prompt's text.

    Args:
        given: the assignments; a later one of the same key replaces an earlier one.

    Raises:
        EditError: naming the key, and the keys that are allowed in its place.
    """
    fields: dict[tuple[str, ...], Edit] = {}
    model: str | None = None
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise EditError(
                f"{text!r} is no assignment; write KEY=VALUE, for instance params.temperature=0.2"
            )
        if key == MODEL:
            model = _parse_model(value)
            continue
        edit = _parse_field(key, value)
        fields[edit.path] = edit
    return Edits(fields=tuple(fields.values()), model=model)


def apply_edits(body: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """A request's body with the new values; other fields, and the spelling of their names, are left as they are.

    Args:
        body: a request's body as JSON values.
        edits: what changes; the model is not part of the body.

    Raises:
        EditError: a field that holds other fields has another value in this body.
    """
    edited = cast("dict[str, Any]", msgspec.json.decode(msgspec.json.encode(body)))
    for edit in edits.fields:
        _assign(edited, edit)
    return edited


def allowed_keys(path: Sequence[str] = ()) -> tuple[str, ...]:
    """The keys that may be set below a field; at the top also :data:`MODEL`."""
    model: Any = GenerationRequest
    for name in path:
        model = _inner(model.model_fields[_field(model, name) or name].annotation)
    names = tuple(each for each in _names(model) if path or each not in DESCENT)
    return names if path else (MODEL, *names)


def _parse_model(value: str) -> str:
    if not value.strip():
        raise EditError("model= names no model; write the name of a provider, or leave it out")
    return value.strip()


def _parse_field(key: str, value: str) -> Edit:
    path = key.split(".")
    if path == ["prompt"] and _VERSION.fullmatch(value):
        return Edit(path=("prompt_config", "version_id"), value=value)
    model: Any = GenerationRequest
    found: list[str] = []
    annotation: Any = None
    for index, name in enumerate(path):
        if model is None:
            # Below a free-form object any name is allowed.
            found += path[index:]
            break
        field = _field(model, name)
        if field is None or (not found and field in DESCENT):
            where = f" below {'.'.join(found)}" if found else ""
            meant = _meant(name) if not found else ()
            where += f" (did you mean {' or '.join(meant)}?)" if meant else ""
            raise EditError(
                f"{key!r} is no key of a request: {name!r} is unknown{where}; use one of "
                f"{', '.join(allowed_keys(found))}"
            )
        annotation = model.model_fields[field].annotation
        found.append(field)
        model = _inner(annotation)
        if model is None and index + 1 < len(path) and not _is_free(annotation):
            raise EditError(
                f"{key!r} is no key of a request: {'.'.join(found)} has no fields; set it as a whole"
            )
    if not value:
        return Edit(path=tuple(found))
    return Edit(path=tuple(found), value=_parse_value(value, annotation if len(found) == len(path) else Any))


def _meant(name: str) -> tuple[str, ...]:
    """Keys of fields within the fields of a request that have this name."""
    inner = {field: _inner(each.annotation) for field, each in GenerationRequest.model_fields.items()}
    return tuple(
        f"{field.removesuffix('_')}.{_field(model, name)}"
        for field, model in inner.items()
        if model is not None and field not in DESCENT and _field(model, name) is not None
    )


def _parse_value(value: str, annotation: Any) -> Any:
    if _is_text(annotation):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return value


def _assign(body: dict[str, Any], edit: Edit) -> None:
    at = body
    for depth, name in enumerate(edit.path[:-1], start=1):
        key = _spelling(at, name)
        inner = at.get(key)
        if inner is None:
            if edit.value is msgspec.UNSET:
                return
            inner = at[key] = {}
        if not isinstance(inner, dict):
            raise EditError(
                f"{edit.key!r} cannot be set: {'.'.join(edit.path[:depth])} of this request is no object; set it as a whole"
            )
        at = cast("dict[str, Any]", inner)
    key = _spelling(at, edit.path[-1])
    if edit.value is msgspec.UNSET:
        at.pop(key, None)
        return
    if edit.path == ("prompt_config", "version_id"):
        # One way of selecting a version excludes the others.
        for other in ("family", "family_id", "version", "auto_select_latest", "inline_prompt"):
            at.pop(_spelling(at, other), None)
    at[key] = edit.value


def _spelling(body: Mapping[str, Any], name: str) -> str:
    """The name as this body spells it; as it is given where the body does not have it."""
    return next((each for each in (name, to_camel(name)) if each in body), name)


def _field(model: type[BaseModel], name: str) -> str | None:
    """The field of a model that a name means, in snake_case or camelCase; ``None``: there is none."""
    return next(
        (
            field
            for field in model.model_fields
            if name in (field.removesuffix("_"), to_camel(field.removesuffix("_")))
        ),
        None,
    )


def _names(model: type[BaseModel]) -> Iterator[str]:
    return (field.removesuffix("_") for field in model.model_fields)


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model whose fields a field's value has; ``None``: it has none."""
    return next(
        (each for each in _kinds(annotation) if isinstance(each, type) and issubclass(each, BaseModel)), None
    )


def _is_free(annotation: Any) -> bool:
    """Whether a field's value is an object with any names."""
    return any(get_origin(each) is dict or each is dict for each in _kinds(annotation))


def _is_text(annotation: Any) -> bool:
    """Whether a field takes nothing but a text."""
    kinds = [each for each in _kinds(annotation) if each is not type(None)]
    return bool(kinds) and all(isinstance(each, type) and issubclass(each, str) for each in kinds)


def _kinds(annotation: Any) -> list[Any]:
    """The types that a value may have, without optional and annotated wrappers."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [each for arg in get_args(annotation) for each in _kinds(arg)]
    return [annotation]
