"""Field tables of message bodies."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import inspect

from infra.lab.docgen.comments import ClassComments
from infra.lab.docgen.markdown import code, codes, table

_PLAIN: Final[dict[type[inspect.Type], str]] = {
    inspect.AnyType: "any",
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.BytesType: "string (base64)",
}


def type_name(kind: inspect.Type) -> str:
    """A type as JSON has it; structs and enumerations are links to their tables."""
    match kind:
        case inspect.UnionType(types=types):
            return " or ".join(map(type_name, types))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"array of {type_name(item)}"
        case inspect.DictType(value_type=value):
            return "object" if isinstance(value, inspect.AnyType) else f"object of {type_name(value)}"
        case inspect.LiteralType(values=values):
            return " or ".join(code(str(value)) for value in values)
        case inspect.StructType(cls=cls) | inspect.EnumType(cls=cls):
            return link(cls.__name__)
        case _ if type(kind) in _PLAIN:
            return _PLAIN[type(kind)]
        case _:
            raise TypeError(f"a body has a field of {kind}, which this page cannot show yet")


def link(name: str) -> str:
    """A reference to the table of a struct or enumeration."""
    return f"[{name}](#{name.lower()})"


def fields_of(body: type[msgspec.Struct], said: dict[str, ClassComments]) -> str:
    """The table of a struct's fields."""
    info = inspect.type_info(body)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{body} is no struct")
    return table(
        ("field", "type", "default", "meaning"),
        [
            (
                code(field.encode_name),
                type_name(field.type),
                _default(field),
                _meaning(body, field.name, said),
            )
            for field in info.fields
        ],
    )


def parts(bodies: Iterable[type[msgspec.Struct]]) -> tuple[list[type[msgspec.Struct]], list[type[Enum]]]:
    """The structs and enumerations that some bodies are made of, in the order they are met."""
    structs: list[type[msgspec.Struct]] = []
    enums: list[type[Enum]] = []

    def meet(kind: inspect.Type) -> None:
        match kind:
            case inspect.StructType(cls=cls) if cls not in structs:
                structs.append(cls)
            case inspect.EnumType(cls=cls) if cls not in enums:
                enums.append(cls)
            case inspect.StructType() | inspect.EnumType():
                return
            case _:
                pass
        for each in _inside(kind):
            meet(each)

    for body in bodies:
        meet(inspect.type_info(body))
    return structs, enums


def _inside(kind: inspect.Type) -> list[inspect.Type]:
    match kind:
        case inspect.StructType(fields=fields):
            return [field.type for field in fields]
        case inspect.UnionType(types=types):
            return list(types)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return [item]
        case inspect.DictType(value_type=value):
            return [value]
        case _:
            return []


def values_of(enum: type[Enum], said: dict[str, ClassComments]) -> str:
    """The table, or the list, of an enumeration's values."""
    meanings = said[enum.__name__].fields if enum.__name__ in said else {}
    if not any(meanings.get(member.name) for member in enum):
        return codes(str(member.value) for member in enum)
    return table(
        ("value", "meaning"), [(code(str(member.value)), meanings.get(member.name, "")) for member in enum]
    )


def _meaning(body: type[msgspec.Struct], name: str, said: dict[str, ClassComments]) -> str:
    """What the class that declares the field says about it."""
    for cls in body.__mro__:
        if cls.__name__ in said and name in said[cls.__name__].fields:
            # What is None to us is null on the wire.
            return said[cls.__name__].fields[name].replace("`None`", "`null`")
    return ""


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    default: Any = field.default
    if default is msgspec.NODEFAULT and callable(field.default_factory):
        default = field.default_factory()
    if isinstance(default, msgspec.Struct):
        return "its defaults"
    return code(msgspec.json.encode(default).decode())
