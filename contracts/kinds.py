"""Content kinds by name."""

from __future__ import annotations

from typing import Final

#: The built-in content kinds plus ``custom`` (the request brings its own JSON Schema).
KINDS: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")
