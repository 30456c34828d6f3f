"""A schema as servers enforce it: without alternatives that only require fields.

llama.cpp reads ``anyOf`` and ``oneOf`` instead of the ``properties`` beside them, and then enforces nothing; OpenAI
refuses them in a root.  The document is checked under the whole schema afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

_ALTERNATIVES: Final = ("anyOf", "oneOf")
#: Keywords whose values are no schemas.
_LITERAL: Final = frozenset({"const", "enum", "default", "example", "examples"})


def simplify_alternatives(schema: Mapping[str, Any], *, require_first: bool) -> dict[str, Any]:
    """A schema in which no alternatives that only require fields stand beside properties.

    Args:
        schema: a JSON Schema of any draft.
        require_first: the first alternative is required, for a model that needs to be led; otherwise none is.
    """
    made = {
        name: each if name in _LITERAL else _inner(each, require_first=require_first)
        for name, each in schema.items()
    }
    if not isinstance(schema.get("properties"), dict):
        return made
    for name in _ALTERNATIVES:
        branches = schema.get(name)
        if isinstance(branches, list) and branches and all(map(_only_requires, cast("list[Any]", branches))):
            del made[name]
            if require_first:
                made["required"] = list(dict.fromkeys((*made.get("required", ()), *branches[0]["required"])))
    return made


def _inner(value: Any, *, require_first: bool) -> Any:
    if isinstance(value, dict):
        return simplify_alternatives(cast("dict[str, Any]", value), require_first=require_first)
    if isinstance(value, list):
        return [_inner(each, require_first=require_first) for each in cast("list[Any]", value)]
    return value


def _only_requires(branch: Any) -> bool:
    own = cast("dict[str, Any]", branch) if isinstance(branch, dict) else {}
    return set(own) == {"required"} and isinstance(own["required"], list)
