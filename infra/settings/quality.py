"""Settings of quality: the bar of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

#: Between the lowest score of 900 good documents and gross nonsense (docs/quality.md).
_BAR: Final = 0.4

Bar = Annotated[float, Field(ge=0, le=1)]


class QualityBar(BaseModel):
    """Lowest `meta.quality_score` of each kind (docs/quality.md); below it: one more draft, then the fallback."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: Layouts; 0: no bar.
    layout: Bar = _BAR
    #: Plots; 0: no bar.
    plot: Bar = _BAR
    #: Scenes; 0: no bar.
    scene: Bar = _BAR
    #: Dialogues; 0: no bar.
    dialogue: Bar = _BAR
    #: Transitions; 0: no bar.
    transition: Bar = _BAR
    #: Documents under a request's own schema; 0: no bar.
    custom: Bar = _BAR
    #: Kinds of installed extensions; 0: no bar.
    others: Bar = _BAR

    def by_kind(self, kinds: Iterable[str]) -> Mapping[str, float]:
        """The bar of each kind."""
        bars: dict[str, float] = self.model_dump()
        return {kind: bars.get(kind, self.others) for kind in kinds}


class QualitySettings(BaseModel):
    """What is asked of a document beyond its schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    bar: QualityBar = QualityBar()
