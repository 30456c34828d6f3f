"""Prompt configuration: prompt versions, their variables, and the selection in a request."""

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

#: Largest integer that every JSON reader accepts; its negative is the smallest.
MAX_INTEGER: Final = 2**53
#: Default maximum length of a text variable, characters.
MAX_TEXT: Final = 4000
#: Default maximum number of entries of a list variable.
MAX_ITEMS: Final = 32
#: Most characters of a wrong value in a message.
_SHOWN: Final = 60
#: Longest inline prompt, characters.
MAX_INLINE: Final = 32_000


class VariableType(StrEnum):
    """Type of a variable."""

    #: Untrusted text: a block between markers.
    TEXT = "text"
    #: Untrusted texts: a block with one line each.
    LIST = "list"
    #: Any JSON: a block between markers.
    JSON = "json"
    #: One of the version's own words: inserted into the sentence.
    CHOICE = "choice"
    #: A whole number: inserted into the sentence.
    INTEGER = "integer"
    #: A number: inserted into the sentence.
    NUMBER = "number"
    #: True or false.
    BOOLEAN = "boolean"


#: Variables that context-build fills in from the request; a request cannot set them.
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
    """One variable of a prompt version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: VariableType
    says: Text
    required: bool = False
    #: Value when the request gives none; null if there is no default.
    default: JsonValue = None
    #: A value for trying out the version.
    example: JsonValue
    #: Allowed words of a choice.
    one_of: tuple[Text, ...] = ()
    #: Bounds of a number.
    least: float = -MAX_INTEGER
    most: float = MAX_INTEGER
    #: Longest text, or longest entry of a list, characters.
    max_length: int = Field(default=MAX_TEXT, ge=1)
    #: Most entries of a list.
    max_items: int = Field(default=MAX_ITEMS, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Variable:
        if (self.type is VariableType.CHOICE) != bool(self.one_of):
            raise ValueError("one_of belongs to type choice, and a choice needs it")
        if self.required and self.default is not None:
            raise ValueError("a required variable cannot have a default; remove one of them")
        for name, value in (("example", self.example), ("default", self.default)):
            fault = None if name == "default" and value is None else find_fault(self, value)
            if fault is not None:
                raise ValueError(f"{name} {fault}")
        return self


def find_fault(variable: Variable, value: Any) -> str | None:  # noqa: PLR0911 - one case per type
    """Why a value does not fit a variable, such as ``must be a text, not 3``; ``None`` if it fits."""
    match variable.type:
        case VariableType.TEXT:
            return _text_fault(value, variable.max_length)
        case VariableType.LIST:
            return _list_fault(value, variable)
        case VariableType.JSON:
            return None if value is not None else "must be a JSON value, not null"
        case VariableType.CHOICE:
            return (
                None
                if value in variable.one_of
                else f"must be one of {_join(variable.one_of)}{_but_got(value)}"
            )
        case VariableType.INTEGER:
            if not isinstance(value, int) or isinstance(value, bool):
                return f"must be a whole number{_but_got(value)}"
            return _range_fault(value, variable)
        case VariableType.NUMBER:
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                return f"must be a number{_but_got(value)}"
            return _range_fault(value, variable)
        case VariableType.BOOLEAN:
            return None if isinstance(value, bool) else f"must be true or false{_but_got(value)}"
        case _:
            assert_never(variable.type)


def _text_fault(value: Any, longest: int) -> str | None:
    if not isinstance(value, str):
        return f"must be a text{_but_got(value)}"
    if not value.strip():
        return "must not be blank; leave it out or write something"
    return None if len(value) <= longest else f"has {len(value)} characters; at most {longest} are accepted"


def _list_fault(value: Any, variable: Variable) -> str | None:
    if not isinstance(value, list | tuple):
        return f"must be a list of texts{_but_got(value)}"
    items = cast("list[Any]", value)
    if len(items) > variable.max_items:
        return f"has {len(items)} entries; at most {variable.max_items} are accepted"
    faults = (_text_fault(each, variable.max_length) for each in items)
    return next((f"entry {index}: {fault}" for index, fault in enumerate(faults) if fault), None)


def _range_fault(value: float, variable: Variable) -> str | None:
    if variable.least <= value <= variable.most:
        return None
    return f"must be from {variable.least:.16g} to {variable.most:.16g}{_but_got(value)}"


def _but_got(value: Any) -> str:
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else _abbreviate(value)
    return f", not {shown}"


def _abbreviate(value: Any) -> str:
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


def _join(names: tuple[str, ...]) -> str:
    return ", ".join(names)


class PromptVersion(BaseModel):
    """One immutable version of a prompt family: front matter and template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Family
    version: int = Field(ge=1, lt=1_000_000)
    kind: str
    says: Text
    #: Estimated tokens of the instruction itself, without values.
    tokens: int = Field(ge=1)
    #: Sentences that are always part of the prompt.
    guardrails: tuple[Text, ...] = Field(min_length=1)
    variables: dict[VariableName, Variable]
    source: str
    #: SHA-256 of the file.
    hash: str
    #: Only a released version serves requests; it never changes.
    released: bool

    @property
    def id(self) -> str:
        """Family and version, such as ``layout@1``."""
        return f"{self.family}@{self.version}"

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not a content kind; use one of {_join(tuple(KINDS))}")
        return kind

    @field_validator("variables")
    @classmethod
    def _own(cls, variables: dict[str, Variable]) -> dict[str, Variable]:
        if "wish" not in variables or not variables["wish"].required:
            raise ValueError("'wish' must be declared and required: it holds the request's prompt")
        for name, kind in OWN.items():
            if name in variables and variables[name].type is not kind:
                raise ValueError(f"{name!r} comes from the request and has type {kind}")
        return variables

    def values(self, *, full: bool = True) -> dict[str, Any]:
        """Example values of every variable, or of the required ones with the defaults of the others."""
        return {
            name: each.example if full or each.required else each.default
            for name, each in self.variables.items()
        }


class PromptConfig(BaseModel):
    """Selection of a prompt version and its variables; the default is the latest version of the kind's own family."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    #: Family and version, such as ``layout@1``.
    version_id: VersionId | None = None
    #: A prompt family of the request's kind; ``family_id`` is accepted too. Default: the kind's own family.
    family: Family | None = Field(
        default=None, validation_alias=AliasChoices("family", "family_id", "familyId")
    )
    #: A version of the family. Default: the latest.
    version: int | None = Field(default=None, ge=1, lt=1_000_000, strict=True)
    #: Use the family's latest version, which is also the default.
    auto_select_latest: bool | None = None
    #: Deprecated, use a family: text appended to the wish, with ``{{name}}`` for each of ``variables``.
    inline_prompt: str | None = Field(
        default=None, min_length=1, max_length=MAX_INLINE, json_schema_extra={"deprecated": True}
    )
    #: Values of the version's variables, by name.
    variables: dict[VariableName, JsonValue] = Field(default={}, max_length=64)

    @field_validator("family", "version")
    @classmethod
    def _named_once(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("version_id") is not None:
            raise ValueError("version_id already names family and version; leave this out")
        return value

    @field_validator("auto_select_latest")
    @classmethod
    def _one_way(cls, latest: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001 - pydantic's way
        named = info.data.get("version_id") is not None or info.data.get("version") is not None
        if latest is True and named:
            raise ValueError("contradicts the named version; leave one of them out")
        if latest is False and not named:
            raise ValueError("false needs a version; name one or leave this out")
        return latest

    @field_validator("inline_prompt")
    @classmethod
    def _alone(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None and any(info.data.get(name) for name in ("version_id", "family", "version")):
            raise ValueError("cannot be combined with a family or a version; leave one of them out")
        return text
