"""Which field does a name mean, in snake_case or in camelCase, and how did its author spell it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, cast, get_args

import msgspec
from pydantic import AliasChoices, BaseModel
from pydantic.alias_generators import to_camel

from contracts.printable import printable

#: Where a value stands: names of fields, and places in lists.
Path = tuple[str | int, ...]
#: Characters of a path that are told.
LONGEST: Final = 200


class Spelled(msgspec.Struct, frozen=True, kw_only=True):
    """A value with the names of its fields in snake_case, and what they were before."""

    value: Any
    #: A field's path in snake_case, and its last name as the author wrote it.
    names: Mapping[Path, str] = {}
    #: Fields that were given in both spellings.
    twice: tuple[Path, ...] = ()
    #: How fields are spelled that the author did not write.
    camel: bool = True

    def path(self, path: Path) -> str:
        """The path as the author would write it, dotted; a very long one is cut."""
        said: list[str] = []
        for end, part in enumerate(path, start=1):
            written = self.names.get(path[:end])
            said.append(written if written is not None else self.spell(str(part)))
        return dotted(said)

    def spell(self, name: str) -> str:
        """A field that the author did not write, in the author's spelling."""
        return to_camel(name) if self.camel else name


def dotted(names: Iterable[str]) -> str:
    """A path as one text that can be printed and sent, :data:`LONGEST` characters at most."""
    return printable(".".join(names), most=LONGEST)


def spelled(value: Any, model: type[BaseModel], *, camel: bool = True) -> Spelled:
    """Read the names of a model's fields, at every level that the model knows.

    Nothing is checked: an unknown name stays as it is, and so does a value of the wrong type.

    Args:
        value: any JSON value.
        model: what it should be.
        camel: how its author spells, where the names do not tell.
    """
    names: dict[Path, str] = {}
    twice: list[Path] = []
    read = _read(value, model, (), names, twice)
    written = [name for path, name in names.items() if path[-1] != name or "_" in name]
    if written:
        camel = any(name != name.lower() for name in written)
    return Spelled(value=read, names=names, twice=tuple(twice), camel=camel)


def _read(value: Any, model: type[BaseModel], at: Path, names: dict[Path, str], twice: list[Path]) -> Any:
    if not isinstance(value, dict):
        return value
    fields, found = _fields(model), dict[str, Any]()
    for written, inner in cast("dict[Any, Any]", value).items():
        name, part = fields.get(written, (str(written), None))
        path = (*at, name)
        if name in found:
            twice.append(path)
            continue
        names[path] = str(written)
        found[name] = inner if part is None else _read(inner, part, path, names, twice)
    return found


@cache
def _fields(model: type[BaseModel]) -> dict[Any, tuple[str, type[BaseModel] | None]]:
    """Every spelling of a field, its name, and the model below it."""
    found: dict[Any, tuple[str, type[BaseModel] | None]] = {}
    for name, field in model.model_fields.items():
        spellings = [name, field.alias or name]
        if isinstance(field.validation_alias, AliasChoices):
            spellings += [str(each) for each in field.validation_alias.choices]
        found |= dict.fromkeys(spellings, (name, part_of(model, name)))
    return found


@cache
def part_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a field, where it is an object with fields of its own."""
    inside = types_in(model.model_fields[name].annotation)
    return next((each for each in inside if issubclass(each, BaseModel)), None)


def types_in(annotation: Any) -> list[type]:
    """The classes that an annotation speaks of."""
    inside = [each for argument in get_args(annotation) for each in types_in(argument)]
    return [annotation, *inside] if isinstance(annotation, type) else inside
