"""Checks of documents against a request's own JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final, NamedTuple, cast

from jsonschema import Draft202012Validator, ValidationError, exceptions, validators
from referencing import Registry

from contracts.content import evaluated, formats, keywords, pattern, plain
from contracts.content.custom import Usable
from contracts.content.fault import MAX_FAULTS
from contracts.content.possible import exact

# The library's types are partial: these two are what is used of it.
_extend: Callable[..., Any] = cast("Any", validators).extend
_best_match: Callable[..., Any] = cast("Any", exceptions).best_match

#: Most keyword evaluations for one document.
MAX_STEPS: Final = 50_000
#: Deepest nesting of lists and objects in a document.
MAX_LEVELS: Final = 100
#: Most values in a document: a model's longest answer has fewer.
MAX_VALUES: Final = 100_000


class TooMuchWork(Exception):  # noqa: N818 - names the validation's state
    """A validation that goes on and on: subschemas multiplied by references, or endless nesting."""

    def __init__(self) -> None:
        super().__init__(f"schema: takes more than {MAX_STEPS} steps to check; make it simpler")


class Budget:
    """Steps that are left for one piece of work.

    Args:
        steps: evaluations of a keyword, about 5 µs each.
    """

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Take some.

        Raises:
            TooMuchWork: there are no more.
        """
        self._left -= steps
        if self._left < 0:
            raise TooMuchWork


def faults(schema: Usable, document: Any, budget: Budget | None = None) -> tuple[str, ...]:
    """Why the document does not follow the schema, one line per fault; empty when it does.

    Raises:
        TooMuchWork: past the budget, by default :data:`MAX_STEPS`.
    """
    beyond = unsound(document)
    if beyond is not None:
        return (beyond,)
    errors = _errors(schema, schema.root, document, budget or Budget(), most=MAX_FAULTS)
    lines = (line for error in errors for line in _explain(error))
    return tuple(dict.fromkeys(lines))[:MAX_FAULTS]


def holds(schema: Usable, part: Any, value: Any, budget: Budget) -> bool:
    """Whether a value follows one subschema of a schema.

    Raises:
        TooMuchWork: past the budget.
    """
    return not _errors(schema, part, value, budget, most=1)


def _errors(schema: Usable, part: Any, value: Any, budget: Budget, *, most: int) -> list[Any]:
    work = _WORK.set(_Work(budget, schema.strict_integers, schema.targets))
    try:
        # An empty registry: what is not in the schema does not exist, whatever its address.
        check = _VALIDATOR(part, registry=Registry[Any]())
        return list(islice(check.iter_errors(value), most))
    except RecursionError:
        raise TooMuchWork from None
    finally:
        _WORK.reset(work)


def unsound(document: Any) -> str | None:
    """Why a document is none that JSON can carry, with its path; ``None`` when it is."""
    beyond = plain.fault(document, levels=MAX_LEVELS, values=MAX_VALUES, names=MAX_VALUES)
    return None if beyond is None else f"{beyond[0] or 'document'}: {beyond[1]}"


class _Work(NamedTuple):
    """What the keywords of the schema at hand share."""

    budget: Budget
    #: Whether 2.0 is no integer, as draft-04 has it.
    strict_integers: bool
    #: The subschema of every reference.
    targets: Mapping[str, Any]


#: Set while one document is held against its schema; the validator class is the same for all schemas.
_WORK: Final[ContextVar[_Work]] = ContextVar("_WORK")


def _counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def evaluate(check: Any, value: Any, instance: Any, around: Any) -> Iterator[ValidationError]:
        _WORK.get().budget.spend()
        yield from keyword(check, value, instance, around) or ()

    return evaluate


def _reference(check: Any, name: str, instance: Any, _around: Any) -> Iterator[ValidationError]:
    # The schema is one resource: a dynamic reference means what a plain one does.
    yield from check.descend(instance, _WORK.get().targets[name])


def _pattern(_check: Any, expression: str, instance: Any, _around: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not pattern.matches(expression, instance):
        yield ValidationError(f"{instance!r:.80} does not match {expression!r}")


def _pattern_properties(
    check: Any, inner: dict[str, Any], instance: Any, _around: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for expression, subschema in inner.items():
        for name, value in cast("dict[str, Any]", instance).items():
            if pattern.matches(expression, name):
                yield from check.descend(value, subschema, path=name, schema_path=expression)


def _additional(check: Any, inner: Any, instance: Any, around: dict[str, Any]) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known, expressions = around.get("properties", {}), around.get("patternProperties", {})
    for name, value in cast("dict[str, Any]", instance).items():
        if name in known or any(pattern.matches(each, name) for each in expressions):
            continue
        if inner is False:
            yield ValidationError("unknown field", path=[name])
        else:
            yield from check.descend(value, inner, path=name)


def _format(_check: Any, name: str, instance: Any, _around: Any) -> Iterator[ValidationError]:
    if not formats.follows(name, instance):
        yield ValidationError(f"{instance!r:.80} is not a {name!r}")


def _multiple(_check: Any, step: Any, instance: Any, _around: Any) -> Iterator[ValidationError]:
    """Decimals count as they are spelled: 19.99 is a multiple of 0.01."""
    if keywords.is_number(instance) and exact(instance) % exact(step):
        yield ValidationError(f"{keywords.show(instance)} is not a multiple of {step}")


def _type(check: Any, wanted: Any, instance: Any, _around: Any) -> Iterator[ValidationError]:
    names: list[str] = [wanted] if isinstance(wanted, str) else wanted
    if not any(_is_type(check, instance, name) for name in names):
        said = ", ".join(repr(name) for name in names)
        yield ValidationError(f"{keywords.show(instance)} is not of type {said}")


def _is_type(check: Any, instance: Any, name: str) -> bool:
    if name == "integer" and isinstance(instance, float) and _WORK.get().strict_integers:
        return False
    return check.is_type(instance, name)


def _any_of(check: Any, branches: list[Any], instance: Any, _around: Any) -> Iterator[ValidationError]:
    context: list[ValidationError] = []
    for index, branch in enumerate(branches):
        errors: list[ValidationError] = list(
            islice(check.descend(instance, branch, schema_path=index), MAX_FAULTS)
        )
        if not errors:
            return
        context += errors
    yield ValidationError(
        f"{keywords.show(instance)} follows none of the {len(branches)} schemas", context=context
    )


def _one_of(check: Any, branches: list[Any], instance: Any, around: Any) -> Iterator[ValidationError]:
    held = [index for index, branch in enumerate(branches) if check.evolve(schema=branch).is_valid(instance)]
    if not held:
        yield from _any_of(check, branches, instance, around)
    elif len(held) > 1:
        yield ValidationError(
            f"{keywords.show(instance)} follows {len(held)} of the {len(branches)} schemas, not one alone"
        )


def _enum(_check: Any, values: list[Any], instance: Any, _around: Any) -> Iterator[ValidationError]:
    if same(instance) not in _members(values):
        yield ValidationError(f"{keywords.show(instance)} is not one of {_listed(values)}")


def _const(_check: Any, value: Any, instance: Any, _around: Any) -> Iterator[ValidationError]:
    if same(instance) != same(value):
        yield ValidationError(f"{keywords.show(value)} was expected, not {keywords.show(instance)}")


def _unique(_check: Any, wanted: bool, instance: Any, _around: Any) -> Iterator[ValidationError]:  # noqa: FBT001 - the library's way
    if not wanted or not isinstance(instance, list):
        return
    seen: set[Any] = set()
    for index, item in enumerate(cast("list[Any]", instance)):
        kept = same(item)
        if kept in seen:
            yield ValidationError(f"{keywords.show(item)} is there twice", path=[index])
            return
        seen.add(kept)


def _unevaluated_properties(check: Any, inner: Any, instance: Any, around: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    fields = cast("dict[str, Any]", instance)
    known = evaluated.names(check, _WORK.get().targets, around, fields)
    for name in [each for each in fields if each not in known]:
        if inner is False:
            yield ValidationError("unknown field", path=[name])
        else:
            yield from check.descend(fields[name], inner, path=name)


def _unevaluated_items(check: Any, inner: Any, instance: Any, around: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, list):
        return
    items = cast("list[Any]", instance)
    known = evaluated.indices(check, _WORK.get().targets, around, items)
    for index in [each for each in range(len(items)) if each not in known]:
        if inner is False:
            yield ValidationError("is one item too many", path=[index])
        else:
            yield from check.descend(items[index], inner, path=index)


def same(value: Any) -> Any:
    """What equal values of JSON have in common, for sets: 1 and 1.0 are equal, 1 and true are not."""
    match value:
        case bool() | None:
            return ("literal", value)
        case dict():
            fields = cast("dict[str, Any]", value)
            return ("object", frozenset((name, same(each)) for name, each in fields.items()))
        case list():
            return ("array", tuple(same(each) for each in cast("list[Any]", value)))
        case _:
            return value


class _Values:
    """A list of values with its members as a set; the latest are kept by the list's identity."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[list[Any], frozenset[Any]]] = {}

    def __call__(self, values: list[Any]) -> frozenset[Any]:
        found = self.kept.get(id(values))
        if found is None or found[0] is not values:
            if len(self.kept) > 256:  # noqa: PLR2004 - as many as a few schemas have
                self.kept.clear()
            found = self.kept[id(values)] = (values, frozenset(same(each) for each in values))
        return found[1]


_members: Final = _Values()


def _listed(values: list[Any]) -> str:
    shown = ", ".join(keywords.show(each) for each in values[:8])
    return shown if len(values) <= 8 else f"{shown} and {len(values) - 8} more"  # noqa: PLR2004 - a line


#: Instead of the stock ones: those search with a backtracking engine, compare each with each, or take decimals
#: for binary fractions.
_OWN: Final[dict[str, Callable[..., Any]]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "type": _type,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "format": _format,
    "multipleOf": _multiple,
    "enum": _enum,
    "const": _const,
    "uniqueItems": _unique,
    "unevaluatedItems": _unevaluated_items,
    "unevaluatedProperties": _unevaluated_properties,
    "$ref": _reference,
}
_VALIDATOR: Final[Any] = _extend(
    Draft202012Validator,
    {word: _counted(each) for word, each in {**Draft202012Validator.VALIDATORS, **_OWN}.items()},
)


def _explain(error: Any) -> list[str]:
    deepest = _best_match(iter([error])) or error
    path = [str(part) for part in deepest.absolute_path]
    if deepest.validator == "required":
        missing = [name for name in deepest.validator_value if name not in deepest.instance]
        return [_line([*path, name], "is missing") for name in missing]
    return [_line(path, str(deepest.message))]


def _line(path: list[str], message: str) -> str:
    return f"{'.'.join(path)[:200] or 'document'}: {message if len(message) <= 300 else message[:300] + '…'}"  # noqa: PLR2004 - a line
