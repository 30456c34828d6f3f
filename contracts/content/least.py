"""Smallest size of the documents of a schema: lists in lists multiply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

#: Most values that the smallest document may have; every 20 characters of a text count as one.
MAX_LEAST: Final = 10_000
_CHARACTERS: Final = 20


def fault(root: dict[str, Any], paths: Mapping[int, str], targets: Mapping[str, Any]) -> str | None:
    """Why even the smallest document is too large, with the path of the keyword; ``None``: it is not.

    Args:
        root: a possible schema in the words of 2020-12.
        paths: path of every subschema that is an object, by its identity.
        targets: the subschema of every reference.
    """
    sizes = _Sizes(targets)
    sizes.of(root)
    if sizes.beyond is None:
        return None
    schema, size = sizes.beyond
    keyword = next(
        (word for word in ("minItems", "minLength", "required", "minProperties") if word in schema), ""
    )
    path = ".".join(filter(None, (paths.get(id(schema), ""), keyword))) or "schema"
    return f"{path}: with it, the smallest document has about {size} values; {MAX_LEAST} are the most"


class _Sizes:
    def __init__(self, targets: Mapping[str, Any]) -> None:
        self.targets = targets
        self.known: dict[int, int] = {}
        #: The first subschema that is too large, with its size.
        self.beyond: tuple[dict[str, Any], int] | None = None

    def of(self, schema: Any) -> int:
        """Values of the smallest document, about; recursion counts as one."""
        if not isinstance(schema, dict):
            return 1
        own = cast("dict[str, Any]", schema)
        known = self.known.get(id(own))
        if known is not None:
            return known
        self.known[id(own)] = 1
        parts = [self.of(each) for each in own.get("allOf", ())]
        parts += [self.of(self.targets[own["$ref"]])] if "$ref" in own else []
        parts += [min(self.of(each) for each in own[word]) for word in ("anyOf", "oneOf") if word in own]
        parts.append(0 if "enum" in own or "const" in own else self.flat(own))
        size = self.known[id(own)] = max(1, *parts)
        if size > MAX_LEAST and self.beyond is None:
            self.beyond = own, size
        return size

    def flat(self, own: dict[str, Any]) -> int:
        said: Any = own.get("type", ())
        names = {said} if isinstance(said, str) else set(cast("list[str]", said))
        sizes: list[int] = []
        if names <= {"array"}:
            sizes.append(self.array(own))
        if names <= {"object"}:
            known: dict[str, Any] = own.get("properties", {})
            named = sum(self.of(known.get(name)) for name in own.get("required", ()))
            sizes.append(1 + max(named, own.get("minProperties", 0)))
        if names <= {"string"}:
            sizes.append(own.get("minLength", 0) // _CHARACTERS)
        # Without a type, any value of another one is small.
        return (min if len(names) != 1 and len(sizes) > 1 else max)(sizes, default=1)

    def array(self, own: dict[str, Any]) -> int:
        least: int = max(own.get("minItems", 0), own.get("minContains", 0) if "contains" in own else 0)
        head: list[Any] = own.get("prefixItems", [])[:least]
        return 1 + sum(self.of(each) for each in head) + (least - len(head)) * self.of(own.get("items"))
