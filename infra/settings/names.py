"""Names of settings: which names exist, and which one was meant by an unknown name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args, get_origin

from pydantic import AliasChoices, BaseModel

PREFIX: Final = "UNDERSTUDY_"
_LEVEL: Final = "__"
#: Variables that begin like settings and are none: the path of the configuration file, the broker's password in
#: docs/operations.md, those of the tests, and those that Kubernetes sets for services of such a name.
_OTHERS: Final = re.compile(
    r"UNDERSTUDY_(CONFIG|PASSWORD|TEST_.*|(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT_\d+_(TCP|UDP|SCTP)(_.*)?)"
)
#: The value of a variable that Kubernetes calls like a setting: ``UNDERSTUDY_PORT=tcp://10.0.0.1:4222``.
_LINK: Final = re.compile(r"(tcp|udp|sctp)://")
#: Characters of an unknown name that are looked at and shown.
_LONGEST: Final = 100
#: Levels that are looked at.
_DEEPEST: Final = 6

#: Names of settings from the outermost part inwards.
Path = tuple[str, ...]


def unknown_variables(model: type[BaseModel], environment: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each variable with the prefix of settings that sets nothing.

    Args:
        model: the settings.
        environment: the variables of the process; their case does not matter, as for pydantic-settings.
    """
    found: list[str] = []
    for name, value in sorted(environment.items()):
        upper = name.upper()
        if not upper.startswith(PREFIX) or _OTHERS.fullmatch(upper):
            continue
        if upper.endswith("PORT") and _LINK.match(value):
            continue
        path = tuple(upper.removeprefix(PREFIX).lower().split(_LEVEL))
        if _is_setting(model, path):
            continue
        meant = _meant(model, path)
        said = f"; did you mean {variable(model, meant)}?" if meant else "; docs/settings.md lists all"
        found.append(f"there is no setting {_shown(name)}{said}")
    return tuple(found)


def unknown_fields(model: type[BaseModel], said: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Place and a sentence for each name of a configuration file that is no setting.

    Args:
        model: the settings.
        said: what the file holds.
    """
    for path in _unknown_below(model, said, ()):
        meant = _meant(model, path)
        hint = f"; did you mean {'.'.join(meant)}?" if meant else "; config.yaml.example has all"
        yield path, f"there is no setting {_shown('.'.join(path))}{hint}"


def variable(model: type[BaseModel], path: Path) -> str:
    """The variable of a setting, or of a part of them.

    Args:
        model: the settings.
        path: a place that exists.
    """
    alias = model.model_fields[path[0]].validation_alias if path[0] in model.model_fields else None
    if len(path) == 1 and isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return PREFIX + _LEVEL.join(part.upper() for part in path)


def _is_setting(model: type[BaseModel], path: Path) -> bool:
    inside: Any = model
    for name in path:
        fields, of_each = _fields(inside), _value_of_mapping(inside)
        if not name or (fields is None and of_each is None) or (fields is not None and name not in fields):
            return False
        inside = of_each if fields is None else fields[name]
    return True


def _unknown_below(inside: Any, said: Any, at: Path) -> Iterator[Path]:
    if not isinstance(said, Mapping):
        return
    fields, of_each = _fields(inside), _value_of_mapping(inside)
    for name, value in said.items():
        path = (*at, str(name))
        if fields is None:
            if of_each is not None:
                yield from _unknown_below(of_each, value, path)
        elif name in fields:
            yield from _unknown_below(fields[name], value, path)
        elif at or name not in _aliases(inside):
            yield path


def _fields(annotation: Any) -> Mapping[str, Any] | None:
    """Names and types below a part of the settings; ``None`` for a single value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    return None


def _value_of_mapping(annotation: Any) -> Any:
    """The type of each value where names are free; ``None`` elsewhere."""
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def _aliases(model: type[BaseModel]) -> set[str]:
    return {
        str(choice)
        for field in model.model_fields.values()
        if isinstance(field.validation_alias, AliasChoices)
        for choice in field.validation_alias.choices
    }


def _every(annotation: Any, like: Path, at: Path = ()) -> Iterator[Path]:
    """All places; where names are free, the one of a given path."""
    fields, of_each = _fields(annotation), _value_of_mapping(annotation)
    if at:
        yield at
    if fields is not None:
        for name, inside in fields.items():
            yield from _every(inside, like, (*at, name))
    elif of_each is not None and len(like) > len(at) and like[len(at)]:
        yield from _every(of_each, like, (*at, like[len(at)]))


def _letters(path: Path) -> str:
    return ".".join(path).replace("_", "").replace("-", "").lower()


def _joined(path: Path) -> str:
    return _letters(path).replace(".", "")


def _meant(model: type[BaseModel], path: Path) -> Path | None:
    """The setting that was probably meant.

    One beside it that is spelled alike, else one anywhere, else the only one of that last name.
    """
    path = tuple(part[:_LONGEST] for part in path[:_DEEPEST])
    places = [
        each for each in _every(model, path) if each != path[: len(each)] or _joined(each) == _joined(path)
    ]
    anywhere = {_joined(each): each for each in reversed(places)}
    beside = {_letters(each[-1:]): each for each in places if each[:-1] == path[:-1]}
    if _joined(path) in anywhere:
        return anywhere[_joined(path)]
    # Two letters that changed places are a nearer slip than difflib thinks.
    swapped = [each for name, each in beside.items() if sorted(name) == sorted(_letters(path[-1:]))]
    if swapped:
        return swapped[0]
    for name, known, alike in ((_letters(path[-1:]), beside, 0.7), (_joined(path), anywhere, 0.8)):
        close = get_close_matches(name, known, n=1, cutoff=alike)
        if close:
            return known[close[0]]
    same = [each for each in places if _letters(each[-1:]) == _letters(path[-1:])]
    return same[0] if len(same) == 1 else None


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST and name.isprintable() else repr(name[:_LONGEST])
