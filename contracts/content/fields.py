"""Which building blocks do the kinds' models share?"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: Names an entity, an asset or a character inside one document.
Ident = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
#: One line that a person reads.
Line = Annotated[str, StringConstraints(min_length=1, max_length=200)]
#: A paragraph that a person reads.
Passage = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
#: World coordinates, pixels.
Coordinate = Annotated[int, Field(ge=-100_000, le=100_000)]
#: Extent, pixels.
Extent = Annotated[int, Field(ge=1, le=100_000)]
#: A colour as ``#RRGGBB``.
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]


class Part(BaseModel):
    """Anything inside a document: strict, frozen, no field that is not named."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def repeated(idents: list[str]) -> str | None:
    """The first id that occurs twice."""
    seen: set[str] = set()
    for ident in idents:
        if ident in seen:
            return ident
        seen.add(ident)
    return None
