"""Field aliases: names in snake_case or camelCase, and the author's spelling for messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, cast, get_args

import msgspec
from pydantic import AliasChoices, BaseModel
from pydantic.alias_generators import to_camel

from contracts.printable import printable

#: Location of a value: field names and list indexes.
Path = tuple[str | int, ...]
#: Most characters of a path in a message.
MAX_PATH: Final = 200


class ResolvedNames(msgspec.Struct, frozen=True, kw_only=True):
    """A value with field names in snake_case, and the original spelling."""

    value: Any
    #: The name as the author wrote it, by the field's path in snake_case.
    names: Mapping[Path, str] = {}
    #: Fields that appear in both spellings.
    twice: tuple[Path, ...] = ()
    #: Spelling of fields that the author did not write.
    camel: bool = True

    def path(self, path: Path) -> str:
        """The path in the author's spelling, dotted; a very long path is cut."""
        shown: list[str] = []
        for end, part in enumerate(path, start=1):
            written = self.names.get(path[:end])
            shown.append(written if written is not None else self.spell(str(part)))
        return format_path(shown)

    def spell(self, name: str) -> str:
        """A field that the author did not write, in the author's spelling."""
        return to_camel(name) if self.camel else name


def format_path(names: Iterable[str]) -> str:
    """A path as one printable text, :data:`LONGEST` characters at most."""
    return printable(".".join(names), most=MAX_PATH)


def resolve_aliases(value: Any, model: type[BaseModel], *, camel: bool = True) -> ResolvedNames:
    """Convert the names of a model's fields to snake_case, at every level that the model knows.

    Nothing is validated: unknown names and values of the wrong type stay as they are.

    Args:
        value: any JSON value.
        model: the model that the value should follow.
        camel: the author's spelling, if the names do not show it.
    """
    names: dict[Path, str] = {}
    twice: list[Path] = []
    read = _resolve(value, model, (), names, twice)
    written = [name for path, name in names.items() if path[-1] != name or "_" in name]
    if written:
        camel = any(name != name.lower() for name in written)
    return ResolvedNames(value=read, names=names, twice=tuple(twice), camel=camel)


def _resolve(value: Any, model: type[BaseModel], at: Path, names: dict[Path, str], twice: list[Path]) -> Any:
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
        found[name] = inner if part is None else _resolve(inner, part, path, names, twice)
    return found


@cache
def _fields(model: type[BaseModel]) -> dict[Any, tuple[str, type[BaseModel] | None]]:
    """Every spelling of a field, with its name and the model below it."""
    found: dict[Any, tuple[str, type[BaseModel] | None]] = {}
    for name, field in model.model_fields.items():
        spellings = [name, field.alias or name]
        if isinstance(field.validation_alias, AliasChoices):
            spellings += [str(each) for each in field.validation_alias.choices]
        found |= dict.fromkeys(spellings, (name, model_of_field(model, name)))
    return found


@cache
def model_of_field(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a field that is an object with fields of its own."""
    inside = annotation_types(model.model_fields[name].annotation)
    return next((each for each in inside if issubclass(each, BaseModel)), None)


def annotation_types(annotation: Any) -> list[type]:
    """The classes in an annotation."""
    inside = [each for argument in get_args(annotation) for each in annotation_types(argument)]
    return [annotation, *inside] if isinstance(annotation, type) else inside
