"""Evaluation sets: files of requests that are run again and again, with what their contents must have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_snake

from contracts.errors import Misconfigured
from contracts.kinds import KindName
from contracts.lineage import DESCENT
from contracts.nodes.node import Element
from contracts.nodes.required_terms import normalise_term, term_includes
from contracts.policy import fingerprint
from infra.stores import toml_tables

#: Most cases of a set, and most facts and avoided terms of a case.
MAX_CASES: Final = 500
MAX_TERMS: Final = 50
#: Most ways to say one fact.
MAX_ALTERNATIVES: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,48}")
_HASH_DIGITS: Final = 16


class EvaluationSetError(Misconfigured):
    """A set that cannot be used; the text names the file, the case, the field and the fix."""


def _has_word(term: str) -> str:
    if not normalise_term(term):
        raise ValueError(f"{term!r} has no letter or digit, so no text can mention it; write words")
    return term


def _in_list(fact: Any) -> Any:
    return (fact,) if isinstance(fact, str) else fact


_Term = Annotated[Element, AfterValidator(_has_word)]
#: A fact: one of its alternatives must be mentioned.
Fact = Annotated[
    tuple[_Term, ...],
    BeforeValidator(_in_list),
    Field(min_length=1, max_length=MAX_ALTERNATIVES),
]


class EvaluationCase(BaseModel):
    """One request of a set, and what its content must have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]
    #: Content kind; by default that of the node or template, as for ``understudy request``.
    kind: KindName | None = None
    #: What the content must mention.
    facts: tuple[Fact, ...] = Field(default=(), max_length=MAX_TERMS)
    #: What it must not mention.
    avoid: tuple[_Term, ...] = Field(default=(), max_length=MAX_TERMS)
    #: Milliseconds within which the content must be there.
    max_latency_ms: int | None = Field(default=None, ge=1, le=86_400_000)
    #: Fields of the request's body, the outermost names in snake_case.
    request: Mapping[str, Any]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for fact in self.facts:
            if all(any(term_includes(each, term) for term in self.avoid) for each in fact):
                raise ValueError(f"facts: {fact[0]!r} has a term that avoid excludes; remove one of them")
        return self

    @property
    def digest(self) -> str:
        """Digits that change with everything that the case asks and expects, but not with its name."""
        return fingerprint.digest(self.model_dump(mode="json", exclude={"name"}))[:_HASH_DIGITS]


#: Fields of a case beside those of its request.
_OWN: Final = frozenset(EvaluationCase.model_fields) - {"request"}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    says: Annotated[str, Field(max_length=200)] = ""
    #: Fields of every case that does not have them itself.
    defaults: dict[str, Any] = {}
    cases: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=MAX_CASES)


class EvaluationSet(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of a file."""

    name: str
    #: Name of the file.
    file: str
    says: str = ""
    cases: tuple[EvaluationCase, ...]

    @property
    def digest(self) -> str:
        """Digits that change with every case."""
        return fingerprint.digest([[each.name, each.digest] for each in self.cases])[:_HASH_DIGITS]


def read(path: Path) -> EvaluationSet:
    """Read and check a set; whether the pipeline would accept its requests is not looked at.

    Raises:
        EvaluationSetError: naming the file, the case, the field and the fix.
    """
    if not _NAME.fullmatch(path.stem):
        raise EvaluationSetError(
            f"{path.name}: {path.stem!r} is not the name of a set; use letters, digits, - and _, at most 48"
        )
    found = toml_tables.read(path, _File, EvaluationSetError)
    defaults = _snake(found.defaults)
    if "name" in defaults:
        raise EvaluationSetError(f"{path.name}: defaults.name: each case has its own; leave it out")
    cases: dict[str, EvaluationCase] = {}
    for number, given in enumerate(found.cases, start=1):
        case = _make_case(path, number, defaults | _snake(given))
        if case.name in cases:
            raise EvaluationSetError(f"{path.name}: two cases are called {case.name}; rename one")
        cases[case.name] = case
    return EvaluationSet(name=path.stem, file=path.name, says=found.says, cases=tuple(cases.values()))


def _make_case(path: Path, number: int, fields: Mapping[str, Any]) -> EvaluationCase:
    name = fields.get("name")
    place = f"{path.name}: case {name if isinstance(name, str) and _NAME.fullmatch(name) else number}"
    reserved = next((each for each in fields if each in DESCENT), None)
    if reserved is not None:
        raise EvaluationSetError(f"{place}: {reserved}: is set by Understudy, not by the file; leave it out")
    own = {name: value for name, value in fields.items() if name in _OWN}
    body = {name: value for name, value in fields.items() if name not in _OWN}
    try:
        return EvaluationCase.model_validate(own | {"request": body})
    except ValidationError as problem:
        raise EvaluationSetError(f"{place}: {toml_tables.find_fault(problem, EvaluationCase)}") from None


def _snake(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {to_snake(name): value for name, value in fields.items()}
