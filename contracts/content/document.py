"""Base of all kinds' documents: strictness, bounds and unique ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StringConstraints
from pydantic.json_schema import GenerateJsonSchema, SkipJsonSchema

T = TypeVar("T")


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("must say something, not only blanks")
    return text


#: Names a part of a document; what points at a part uses the same spelling.
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
#: A name, a title, a mood: one short phrase.
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=120), AfterValidator(_says_something)]
#: One to three sentences.
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=600), AfterValidator(_says_something)]
#: Running prose.
Prose = Annotated[str, StringConstraints(min_length=1, max_length=6000), AfterValidator(_says_something)]
#: Pixels; y grows downwards.
Pixels = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
#: Pixels, for sizes.
Extent = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
#: Seconds.
Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
#: ``#RRGGBB`` or ``#RRGGBBAA``.
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$")]


def _not_null(value: T | None) -> T:
    if value is None:
        raise ValueError("must not be null; leave it out")
    return value


#: May be left out, but not be ``null``: one spelling for "nothing", in the schema and here.
Maybe = Annotated[T | SkipJsonSchema[None], AfterValidator(_not_null)]
#: A frozen list.  A parsed document has lists where the model keeps tuples, so this one conversion
#: is allowed; the items stay strict.
Items = Annotated[tuple[T, ...], Strict(strict=False)]


class Document(BaseModel):
    """A document or a part of one: strict, frozen, and refusing what it does not know."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic derives from names: they cost tokens and say nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def json_schema(model: type[Document]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a model, properties in the model's order."""
    schema = model.model_json_schema(schema_generator=_Untitled)
    _tidy(schema)
    return schema


def _tidy(node: Any) -> None:
    # Class names as titles tell a model nothing, "discriminator" belongs to OpenAPI, and a grammar
    # compiler takes anyOf where oneOf would need a proof that the branches are disjoint (they are:
    # each has its own "type").
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _tidy(item)
    if not isinstance(node, dict):
        return
    schema = cast("dict[str, Any]", node)
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
        schema.pop("discriminator", None)
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if schema.get("default", 0) in (None, []):
        del schema["default"]
    for value in schema.values():
        _tidy(value)


def once(ids: Iterable[str], what: str) -> None:
    """Refuse an id that is used twice.

    Raises:
        ValueError: naming the id.
    """
    seen: set[str] = set()
    for ident in ids:
        if ident in seen:
            raise ValueError(f"{what} {ident!r} is used twice; ids must be unique")
        seen.add(ident)
