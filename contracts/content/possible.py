"""Schemas that no finite document follows, as far as that is plain to see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, cast

from contracts.content import keywords

#: Rounds of reasoning: past them, the schema is taken for possible.
_ROUNDS: Final = 20


def fault(root: dict[str, Any], paths: Mapping[int, str], targets: Mapping[str, Any]) -> str | None:
    """Why no document can follow, with the path of the reason; ``None``: some may.

    Args:
        root: a schema whose keywords have values of their shape.
        paths: path of every subschema that is an object, by its identity, the root first.
        targets: the subschema of every reference.
    """
    return _Search(root, paths, targets).fault()


def exact(value: Any) -> Fraction:
    """A finite number as it is spelled: 0.1 is a tenth."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


class _Search:
    """Finds from the leaves up which subschemas some finite value follows."""

    def __init__(self, root: dict[str, Any], paths: Mapping[int, str], targets: Mapping[str, Any]) -> None:
        self.root = root
        self.paths = paths
        self.targets = targets
        self.good: set[int] = set()
        self.schemas: list[dict[str, Any]] = []

    def fault(self) -> str | None:
        pending = self.below(self.root)
        for _ in range(_ROUNDS):
            left = [schema for schema in pending if self.block(schema) is not None or self.add(schema)]
            if id(self.root) in self.good:
                return None
            if len(left) == len(pending):
                return self.reason()
            pending = left
        return None

    def add(self, schema: dict[str, Any]) -> bool:
        self.good.add(id(schema))
        return False

    def below(self, root: dict[str, Any]) -> list[dict[str, Any]]:
        """Every subschema, those inside before those around them."""
        found: list[dict[str, Any]] = [root]
        for schema in found:
            for keyword, value in schema.items():
                inner: list[Any] = []
                if keyword in keywords.ONE:
                    inner = [value]
                elif keyword in keywords.LIST:
                    inner = cast("list[Any]", value)
                elif keyword in keywords.MAP:
                    inner = list(cast("dict[str, Any]", value).values())
                found += [each for each in inner if isinstance(each, dict)]
        found.reverse()
        return found

    def reason(self) -> str:
        """The reason, from the root down to where it is."""
        schema: Any = self.root
        seen: set[int] = set()
        while id(schema) not in seen:
            seen.add(id(schema))
            reason = self.block(schema)
            path = self.paths.get(id(schema), "")
            if isinstance(reason, tuple):
                keyword, why = cast("tuple[str, str]", reason)
                return f"{path}.{keyword}: {why}" if path else f"{keyword}: {why}"
            schema = reason
        path = self.paths.get(id(schema), "") or "schema"
        return f"{path}: requires itself without end, so that no document ends; make a field optional"

    def ok(self, schema: Any) -> bool:
        return schema is True or id(schema) in self.good

    def block(self, schema: dict[str, Any]) -> Any | None:
        """What makes a subschema impossible: one of its own subschemas, or keyword and reason; ``None``: nothing."""
        needed: list[Any] = [self.targets[schema["$ref"]]] if "$ref" in schema else []
        needed += schema.get("allOf", [])
        for each in needed:
            if not self.ok(each):
                return _or_false(each, "allOf" if each is False else "$ref")
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and not any(self.ok(each) for each in schema[keyword]):
                return _or_false(schema[keyword][0], keyword)
        if "const" in schema or "enum" in schema:
            return None
        named: Any = schema.get("type", list(keywords.TYPES))
        first: Any = None
        for name in cast("list[str]", [named] if isinstance(named, str) else named):
            reason = self.of_type(name, schema)
            if reason is None:
                return None
            first = first or reason
        return first

    def of_type(self, name: str, schema: dict[str, Any]) -> Any | None:
        match name:
            case "string":
                return _crossed(schema, "minLength", "maxLength")
            case "number" | "integer":
                return _number(schema, whole=name == "integer")
            case "array":
                return self.array(schema)
            case "object":
                return self.object(schema)
            case _:
                return None

    def array(self, schema: dict[str, Any]) -> Any | None:
        crossed = _crossed(schema, "minItems", "maxItems") or _crossed(schema, "minContains", "maxContains")
        if crossed is not None:
            return crossed
        least: int = schema.get("minItems", 0)
        if "contains" in schema and (wanted := schema.get("minContains", 1)):
            if not self.ok(schema["contains"]):
                return _or_false(schema["contains"], "contains")
            if wanted > schema.get("maxItems", wanted):
                return "minContains", "is more than maxItems; change one of them"
        head: list[Any] = schema.get("prefixItems", [])
        for each in head[:least]:
            if not self.ok(each):
                return _or_false(each, "prefixItems")
        if least > len(head) and not self.ok(schema.get("items", True)):
            return _or_false(schema["items"], "items")
        return None

    def object(self, schema: dict[str, Any]) -> Any | None:
        crossed = _crossed(schema, "minProperties", "maxProperties")
        if crossed is not None:
            return crossed
        required: list[str] = schema.get("required", [])
        if len(required) > schema.get("maxProperties", len(required)):
            return "maxProperties", f"is less than the {len(required)} names of required; change one of them"
        known: dict[str, Any] = schema.get("properties", {})
        for name in required:
            if name in known:
                if not self.ok(known[name]):
                    why = f"{name!r:.80} cannot be there: nothing follows its schema; change one of them"
                    return ("required", why) if known[name] is False else known[name]
            elif not schema.get("patternProperties"):
                other = schema.get("additionalProperties", True)
                if other is False:
                    return "required", (
                        f"{name!r:.80} is not in properties, and additionalProperties is false; add it there"
                    )
                if not self.ok(other):
                    return other
        return None


def _or_false(schema: Any, keyword: str) -> Any:
    return (keyword, "is false, and nothing follows it") if schema is False else schema


def _crossed(schema: dict[str, Any], low: str, high: str) -> tuple[str, str] | None:
    if low in schema and high in schema and schema[low] > schema[high]:
        return low, f"{schema[low]} is more than {high} {schema[high]}; change one of them"
    return None


def _number(schema: dict[str, Any], *, whole: bool) -> tuple[str, str] | None:
    step = exact(schema["multipleOf"]) if "multipleOf" in schema else None
    if whole and (step is None or step.denominator != 1):
        # Whole multiples of n/d, in lowest terms, are those of n.
        step = Fraction(1 if step is None else step.numerator)
    lows = [(exact(schema[key]), key) for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [(exact(schema[key]), key) for key in ("maximum", "exclusiveMaximum") if key in schema]
    if not lows or not highs:
        return None
    # The exclusive one counts where both are equal: its name sorts the other way round for neither end.
    low, low_key = max(lows, key=lambda each: (each[0], each[1].startswith("exclusive")))
    high, high_key = min(highs, key=lambda each: (each[0], not each[1].startswith("exclusive")))
    open_ends = low_key.startswith("exclusive"), high_key.startswith("exclusive")
    empty = low > high or (low == high and any(open_ends))
    if not empty and step is not None:
        first = math.ceil(low / step) * step
        first += step if open_ends[0] and first == low else 0
        empty = first > high or (open_ends[1] and first == high)
        if empty:
            return low_key, f"no multiple of {step} is between it and {high_key}; change one of them"
    return (low_key, f"no number is between it and {high_key}; change one of them") if empty else None
