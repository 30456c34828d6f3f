"""Word lists for the explicitness check, read from TOML files."""

from __future__ import annotations

from pathlib import Path

from contracts.errors import Misconfigured
from contracts.policy.explicitness import ExplicitWords, WordList
from infra.stores import toml_tables


class WordListError(Misconfigured):
    """A word list that cannot be used; the text names the file, the field and the fix."""


def load(path: Path) -> ExplicitWords:
    """Read and check a word list.

    Raises:
        WordListError: the file cannot be used.
    """
    return ExplicitWords(toml_tables.read(path, WordList, WordListError).rule)
