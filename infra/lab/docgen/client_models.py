"""The kinds' models of the client: classes generated from those of contracts/content.

The client imports nothing of the pipeline, so its models are written out.  They read what a pipeline has checked:
types and descriptions are the same, bounds and cross-checks are left out, and unknown fields are ignored.
"""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from contracts.content.document import Document
from contracts.content.registry import MODELS
from contracts.kinds import BUILT_IN

_HEAD: Final = '''"""The built-in kinds as pydantic models; needs the extra ``models``.

Generated from contracts/content by `python -m infra.lab.docgen`: edit those, not this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A document or a part of one; fields that a later pipeline adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)
'''


def module() -> str:
    """The source of ``understudy_client/models.py``."""
    classes: dict[str, type[Document]] = {}
    models = {kind: MODELS[kind] for kind in BUILT_IN if kind in MODELS}
    for model in models.values():
        _collect(model, classes)
    table = "".join(f'    "{kind}": {model.__name__},\n' for kind, model in models.items())
    tables = f"#: Each built-in kind's model.\nMODELS: Final[Mapping[str, type[Part]]] = {{\n{table}}}\n"
    return "\n\n".join((_HEAD, *map(_class, classes.values()), tables))


def _collect(model: type[Document], found: dict[str, type[Document]]) -> None:
    """A model and its parts, each after the parts that it uses."""
    for hint in get_type_hints(model, include_extras=True).values():
        for part in _parts(hint):
            if part.__name__ not in found:
                _collect(part, found)
    if found.setdefault(model.__name__, model) is not model:
        raise ValueError(f"two parts of documents are called {model.__name__}; rename one")


def _parts(hint: Any) -> list[type[Document]]:
    if isinstance(hint, type) and issubclass(hint, Document):
        return [hint]
    return [part for each in get_args(hint) for part in _parts(each)]


def _class(model: type[Document]) -> str:
    lines = [f"class {model.__name__}(Part):", f'    """{inspect.getdoc(model)}"""', ""]
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f" = {field.default!r}"
        lines.append(f"    {name}: {_type(hints[name])}{default}")
        if field.description is not None:
            lines.append(f'    """{field.description}"""')
    return "\n".join(lines) + "\n"


def _type(hint: Any) -> str:
    """A type as source, without its bounds."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type, arguments))
    if origin is Literal:
        values = ", ".join(f'"{each}"' for each in arguments)
        return f"Literal[{values}]"
    if origin is tuple:
        return f"tuple[{_type(arguments[0])}, ...]"
    return "None" if hint is NoneType else hint.__name__
