"""Effective settings: the value of each, where it comes from, and secrets hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, cast

import msgspec
from pydantic import AliasChoices, BaseModel

from contracts.errors import Misconfigured
from infra.settings import names
from infra.settings.redaction import redact
from infra.settings.settings import Settings

Origin = Literal["default", "file", "environment", "program"]


class UnknownPart(Misconfigured):
    """There is no setting and no part of this name."""


class EffectiveSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as this process uses it."""

    #: Place in ``config.yaml``, dotted.
    setting: str
    #: The environment variable that sets it.
    variable: str
    #: JSON value; the secret part of it is replaced.
    value: Any
    #: ``program``: set by the code that loaded the settings.
    origin: Origin
    #: ``config.yaml, line 3``, or the variable that is set; empty for a default.
    place: str = ""
    #: A secret is left out of the value.
    hidden: bool = False


def list_settings(
    settings: Settings, *, environment: Mapping[str, str], part: str | None = None, changed: bool = False
) -> tuple[EffectiveSetting, ...]:
    """List settings in the order of their definition.

    Args:
        settings: the settings of this process.
        environment: the variables that they were read from.
        part: dotted name of a setting or of a part of the settings; none: all.
        changed: leave out defaults.

    Raises:
        UnknownPart: there is no such setting; names the closest one.
    """
    model = type(settings)
    upper = {name.upper(): name for name in environment}
    rows: list[EffectiveSetting] = []
    for path, value, default in _walk(settings, model.model_construct(), ()):
        origin, place = _origin(settings, path, environment, upper)
        if origin == "default" and value != default:
            origin, place = _derived(settings, path, environment, upper)
        shown, hidden = redact(path[-1], value)
        rows.append(
            EffectiveSetting(
                setting=".".join(path),
                variable=names.variable(model, path),
                value=shown,
                origin=origin,
                place=place,
                hidden=hidden,
            )
        )
    chosen = rows if part is None else _select(rows, part)
    return tuple(each for each in chosen if not (changed and each.origin == "default"))


def _walk(value: Any, default: Any, path: names.Path) -> Iterator[tuple[names.Path, Any, Any]]:
    """Path, value and default of every setting below a part."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            usual = getattr(default, name, None) if default is not None else field.default
            yield from _walk(getattr(value, name), usual, (*path, name))
        return
    inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if any(isinstance(each, BaseModel) for each in inner.values()):
        for name, each in inner.items():
            yield from _walk(each, None, (*path, name))
        return
    yield path, value, default


def _origin(
    settings: Settings, path: names.Path, environment: Mapping[str, str], upper: Mapping[str, str]
) -> tuple[Origin, str]:
    model = type(settings)
    for length in range(len(path), 0, -1):
        for candidate in _variables(model, path[:length]):
            name = upper.get(candidate)
            if name is not None and _holds(environment[name], path[length:]):
                return "environment", name
    file = settings.of_file
    for first in _spellings(model, path[0]):
        place = (first, *path[1:])
        if _has(file.values, place):
            return "file", file.place(place) or str(file.path)
    return "default", ""


def _derived(
    settings: Settings, path: names.Path, environment: Mapping[str, str], upper: Mapping[str, str]
) -> tuple[Origin, str]:
    """The origin of a value that no source has under its own name."""
    if path == ("nats_url",) and settings.nats.servers:
        return _origin(settings, ("nats", "servers"), environment, upper)
    return "program", ""


def _variables(model: type[BaseModel], path: names.Path) -> tuple[str, ...]:
    """Every variable that sets a path, the strongest first."""
    alias = model.model_fields[path[0]].validation_alias if path[0] in model.model_fields else None
    if len(path) == 1 and isinstance(alias, AliasChoices):
        return tuple(str(choice).upper() for choice in alias.choices)
    return (names.variable(model, path),)


def _spellings(model: type[BaseModel], name: str) -> tuple[str, ...]:
    alias = model.model_fields[name].validation_alias
    return (name, *map(str, alias.choices)) if isinstance(alias, AliasChoices) else (name,)


def _holds(text: str, path: names.Path) -> bool:
    """Whether a variable that sets a whole part as JSON sets a path below it."""
    if not path:
        return True
    try:
        return _has(json.loads(text), path)
    except ValueError:
        return False


def _has(values: Any, path: names.Path) -> bool:
    for name in path:
        if not isinstance(values, Mapping) or name not in values:
            return False
        values = cast("Mapping[str, Any]", values)[name]
    return True


def _select(rows: list[EffectiveSetting], part: str) -> list[EffectiveSetting]:
    wanted = part.strip(".").lower()
    found = [
        each
        for each in rows
        if each.setting == wanted
        or each.setting.startswith(f"{wanted}.")
        or each.variable.lower() in (wanted, f"{names.PREFIX}{wanted}".lower())
    ]
    if found:
        return found
    pieces = [each.setting.split(".") for each in rows]
    known = {".".join(each[:length]) for each in pieces for length in range(1, len(each) + 1)}
    close = get_close_matches(wanted, sorted(known), n=1)
    hint = f"did you mean {close[0]}?" if close else "docs/settings.md lists all"
    raise UnknownPart(f"there is no setting {part[:100]!r}; {hint}")
