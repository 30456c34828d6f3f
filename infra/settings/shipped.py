"""Files that ship with the code: golden samples and the library, in a checkout or in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_INFRA: Final = Path(__file__).resolve().parents[1]
#: Where they are: inside of `infra` in a wheel, so that no top-level name is taken; beside it in a checkout.
ROOT: Final = _INFRA if (_INFRA / "library").is_dir() else _INFRA.parent
#: Whether these are an installed package's files, which the next release replaces.
INSTALLED: Final = ROOT == _INFRA

SAMPLES: Final = ROOT / "golden_samples"
TEMPLATES: Final = ROOT / "library" / "templates"
PROMPTS: Final = ROOT / "library" / "prompts"
EXPERIMENTS: Final = ROOT / "library" / "experiments"
WORLDS: Final = ROOT / "library" / "worlds"
RUBRICS: Final = ROOT / "library" / "rubrics"
RATING_WORDS: Final = ROOT / "library" / "word_lists" / "ratings.toml"
SCENARIOS: Final = ROOT / "library" / "scenarios"
