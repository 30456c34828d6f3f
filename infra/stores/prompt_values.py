"""What prompts print of values, whatever language they are written in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from contracts.errors import Misconfigured
from contracts.policy.prompts import PromptVersion, VariableType

to_json: Final = json.JSONEncoder(ensure_ascii=False).encode


class PromptError(Misconfigured):
    """A prompt version that cannot be used; the text names the file and the fix."""


class OwnWord(str):
    """One of a version's own words: it is printed without markers."""

    __slots__ = ()


def own_words(version: PromptVersion, values: Mapping[str, Any]) -> dict[str, OwnWord]:
    """The values that are the version's own words."""
    return {
        name: OwnWord(values[name])
        for name, each in version.variables.items()
        if each.type is VariableType.CHOICE and values[name] in each.one_of
    }
