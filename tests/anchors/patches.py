"""What has to be said about a value where another one is known already?"""

from __future__ import annotations

from typing import Any


def patched(value: Any, patch: Any) -> Any:
    """The value with a patch laid over it; source: RFC 7396, JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    made = dict(value) if isinstance(value, dict) else {}
    for name, inner in patch.items():
        if inner is None:
            made.pop(name, None)
        else:
            made[name] = patched(made.get(name), inner)
    return made


def difference(value: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The least patch that makes the one the other; neither may hold ``None``."""
    patch: dict[str, Any] = dict.fromkeys(value.keys() - other.keys())
    for name, inner in other.items():
        had = value.get(name)
        if isinstance(had, dict) and isinstance(inner, dict):
            deeper = difference(had, inner)
            if deeper:
                patch[name] = deeper
        # As JSON, where 1 is neither 1.0 nor true.
        elif repr(had) != repr(inner):
            patch[name] = inner
    return patch
