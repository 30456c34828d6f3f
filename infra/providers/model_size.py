"""Size of a server's model, as far as its name says it: ``smollm2:135m``, ``Qwen2.5-0.5B-Instruct``."""

from __future__ import annotations

import re
from typing import Final

from infra.providers.answer_limits import SMALL

_SIZE: Final = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,3})?)([mb])(?![a-z0-9])", re.IGNORECASE)
_UNITS: Final = {"m": 10**6, "b": 10**9}


def small_size(name: str) -> int | None:
    """Parameters of a small model; ``None``: it is larger, or its name does not say."""
    size = parameters_in(name)
    return size if size is not None and size < SMALL else None


def parameters_in(name: str) -> int | None:
    """Parameters of a model; ``None`` where its name does not say."""
    found = _SIZE.search(name)
    return None if found is None else round(float(found[1]) * _UNITS[found[2].lower()])
