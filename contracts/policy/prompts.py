"""Which prompt does a request choose, and what may be said in it?"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Final, assert_never, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from contracts.kinds import KINDS

FAMILY: Final = "[a-z][a-z0-9_-]{0,63}"
Family = Annotated[str, StringConstraints(pattern=f"^{FAMILY}$")]
VersionId = Annotated[str, StringConstraints(pattern=rf"^{FAMILY}@[1-9][0-9]{{0,5}}$")]
VariableName = Annotated[str, StringConstraints(pattern="^[A-Za-z_][A-Za-z0-9_]{0,39}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]

#: Largest whole number that every JSON reader takes, and its negative the smallest.
MAX_INTEGER: Final = 2**53
#: Longest text of a variable that says no other length, characters.
MAX_TEXT: Final = 4000
#: Most entries of a list that says no other number.
MAX_ITEMS: Final = 32
#: Characters of a wrong value that a refusal shows.
_SHOWN: Final = 60
#: Longest inline prompt, characters.
MAX_INLINE: Final = 32_000


class VariableType(StrEnum):
    """What a variable can hold."""

    #: Words of a stranger: a block between markers.
    TEXT = "text"
    #: Texts of a stranger: a block with one line for each.
    LIST = "list"
    #: Any JSON: a block.
    JSON = "json"
    #: One of the version's own words: stands in the sentence.
    CHOICE = "choice"
    #: A whole number: stands in the sentence.
    INTEGER = "integer"
    #: A number: stands in the sentence.
    NUMBER = "number"
    #: True or false.
    BOOLEAN = "boolean"


#: What context-build fills in from the request itself; a request cannot set these as variables.
OWN: Final = {
    "wish": VariableType.TEXT,
    "mood_from": VariableType.TEXT,
    "mood_to": VariableType.TEXT,
    "pacing": VariableType.CHOICE,
    "transition_type": VariableType.CHOICE,
    "duration": VariableType.TEXT,
    "required_elements": VariableType.LIST,
    "avoid_elements": VariableType.LIST,
    "content_rules": VariableType.LIST,
    "schema": VariableType.JSON,
}


class Variable(BaseModel):
    """One placeholder of a prompt version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: VariableType
    says: Text
    required: bool = False
    #: What stands there if nobody gives another; none: null.
    default: JsonValue = None
    #: A value to try the version with.
    example: JsonValue
    #: The words of a choice.
    one_of: tuple[Text, ...] = ()
    #: Bounds of a number.
    least: float = -MAX_INTEGER
    most: float = MAX_INTEGER
    #: Bound of a text, or of each text of a list, characters.
    max_length: int = Field(default=MAX_TEXT, ge=1)
    #: Bound of a list.
    max_items: int = Field(default=MAX_ITEMS, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Variable:
        if (self.type is VariableType.CHOICE) != bool(self.one_of):
            raise ValueError("one_of is for type choice, and a choice needs it")
        if self.required and self.default is not None:
            raise ValueError("a required variable has no default; leave one of them out")
        for name, value in (("example", self.example), ("default", self.default)):
            fault = None if name == "default" and value is None else wrong(self, value)
            if fault is not None:
                raise ValueError(f"{name} {fault}")
        return self


def wrong(variable: Variable, value: Any) -> str | None:  # noqa: PLR0911 - one case for each type
    """Why a value does not fit a variable, such as ``must be a text, not 3``; ``None`` when it fits."""
    match variable.type:
        case VariableType.TEXT:
            return _wrong_text(value, variable.max_length)
        case VariableType.LIST:
            return _wrong_list(value, variable)
        case VariableType.JSON:
            return None if value is not None else "must be a JSON value, not null"
        case VariableType.CHOICE:
            return (
                None
                if value in variable.one_of
                else f"must be one of {_listed(variable.one_of)}{_not(value)}"
            )
        case VariableType.INTEGER:
            if not isinstance(value, int) or isinstance(value, bool):
                return f"must be a whole number{_not(value)}"
            return _wrong_size(value, variable)
        case VariableType.NUMBER:
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                return f"must be a number{_not(value)}"
            return _wrong_size(value, variable)
        case VariableType.BOOLEAN:
            return None if isinstance(value, bool) else f"must be true or false{_not(value)}"
        case _:
            assert_never(variable.type)


def _wrong_text(value: Any, longest: int) -> str | None:
    if not isinstance(value, str):
        return f"must be a text{_not(value)}"
    if not value.strip():
        return "must not be blank; leave it out or say something"
    return None if len(value) <= longest else f"has {len(value)} characters; at most {longest} are accepted"


def _wrong_list(value: Any, variable: Variable) -> str | None:
    if not isinstance(value, list | tuple):
        return f"must be a list of texts{_not(value)}"
    items = cast("list[Any]", value)
    if len(items) > variable.max_items:
        return f"has {len(items)} entries; at most {variable.max_items} are accepted"
    faults = (_wrong_text(each, variable.max_length) for each in items)
    return next((f"entry {index}: {fault}" for index, fault in enumerate(faults) if fault), None)


def _wrong_size(value: float, variable: Variable) -> str | None:
    if variable.least <= value <= variable.most:
        return None
    return f"must be from {variable.least:.16g} to {variable.most:.16g}{_not(value)}"


def _not(value: Any) -> str:
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else _short(value)
    return f", not {shown}"


def _short(value: Any) -> str:
    match value:
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case int() if abs(value) > MAX_INTEGER:
            return "a number that large"
        case _:
            text = repr(value)
            return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


class PromptVersion(BaseModel):
    """One immutable version of a prompt family: its front matter and its template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Family
    version: int = Field(ge=1, lt=1_000_000)
    kind: str
    says: Text
    #: Estimate of what the instruction itself costs, without the values.
    tokens: int = Field(ge=1)
    #: Sentences that stand in the prompt whatever the values.
    guardrails: tuple[Text, ...] = Field(min_length=1)
    variables: dict[VariableName, Variable]
    source: str
    #: SHA-256 of the file.
    hash: str
    #: Only a released version is used for requests; it never changes.
    released: bool

    @property
    def id(self) -> str:
        """Such as ``layout@1``."""
        return f"{self.family}@{self.version}"

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no content kind; use one of {_listed(tuple(KINDS))}")
        return kind

    @field_validator("variables")
    @classmethod
    def _own(cls, variables: dict[str, Variable]) -> dict[str, Variable]:
        if "wish" not in variables or not variables["wish"].required:
            raise ValueError("'wish' must be declared and required: it is what the request asks for")
        for name, kind in OWN.items():
            if name in variables and variables[name].type is not kind:
                raise ValueError(f"{name!r} comes from the request and has type {kind}")
        return variables

    def values(self, *, full: bool = True) -> dict[str, Any]:
        """The examples: of every variable, or of the required ones with the defaults of the others."""
        return {
            name: each.example if full or each.required else each.default
            for name, each in self.variables.items()
        }


class PromptConfig(BaseModel):
    """Which prompt version writes, and its variables; without one, the latest of the kind's own family."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    #: Family and version, such as ``layout@1``.
    version_id: VersionId | None = None
    #: A prompt family of the request's kind; ``family_id`` is accepted too. None: the kind's own.
    family: Family | None = Field(
        default=None, validation_alias=AliasChoices("family", "family_id", "familyId")
    )
    #: A version of the family; none: the latest.
    version: int | None = Field(default=None, ge=1, lt=1_000_000, strict=True)
    #: Take the family's latest version; the same as naming none.
    auto_select_latest: bool | None = None
    #: Deprecated, use a family: more of the wish, with ``{{name}}`` for each of ``variables``.
    inline_prompt: str | None = Field(
        default=None, min_length=1, max_length=MAX_INLINE, json_schema_extra={"deprecated": True}
    )
    #: Values of the version's variables, by name.
    variables: dict[VariableName, JsonValue] = Field(default={}, max_length=64)

    @field_validator("family", "version")
    @classmethod
    def _named_once(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("version_id") is not None:
            raise ValueError("version_id names family and version already; leave this out")
        return value

    @field_validator("auto_select_latest")
    @classmethod
    def _one_way(cls, latest: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001 - pydantic's way
        named = info.data.get("version_id") is not None or info.data.get("version") is not None
        if latest is True and named:
            raise ValueError("contradicts the version that is named; leave one of them out")
        if latest is False and not named:
            raise ValueError("without the latest, name a version; or leave this out")
        return latest

    @field_validator("inline_prompt")
    @classmethod
    def _alone(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None and any(info.data.get(name) for name in ("version_id", "family", "version")):
            raise ValueError("stands without family and version; leave one of them out")
        return text
