"""Content kinds by name: the built-in ones, and those that installed extensions bring."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, overload

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

#: The built-in content kinds plus ``custom`` (the request brings its own JSON Schema).
BUILT_IN: Final = ("layout", "plot", "scene", "dialogue", "transition", "custom")
#: Tasks that routes name providers for, like kinds (contracts/helper_tasks.py).
HELPER_TASKS: Final = ("evaluation", "enhancement")
#: A kind's name is a token of subjects and a part of settings' names.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST: Final = 32


class KindNames(Sequence[str]):
    """Names of content kinds, in the order in which they were added.

    Infra adds the kinds of installed extensions when it reads the settings of a process, before anything is
    built from them; a name is never removed.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._names[index]

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"KindNames({', '.join(self._names)})"

    def add(self, name: str) -> None:
        """Add a name; one that is there already has no effect.

        Raises:
            ValueError: it is not fit to be a token of subjects and a part of settings' names, or it is taken.
        """
        if name in self._names:
            return
        if name in HELPER_TASKS:
            raise ValueError(
                f"a kind cannot be called {name!r}: routes have a task of this name; choose another"
            )
        if len(name) > _LONGEST or not _NAME.fullmatch(name):
            raise ValueError(
                f"a kind cannot be called {name!r}: use at most {_LONGEST} small letters, digits and single "
                "underscores between them, beginning with a letter"
            )
        self._names = (*self._names, name)


#: Every content kind of this process.
KINDS: Final = KindNames(BUILT_IN)


def _known(name: Any) -> Any:
    if not isinstance(name, str) or name not in KINDS:
        # As pydantic says it of an enumeration.
        *first, last = (repr(each) for each in KINDS)
        raise PydanticKnownError("enum", {"expected": f"{', '.join(first)} or {last}"})
    return str(name)


#: The name of a content kind of this process, as a field of a pydantic model.
KindName = Annotated[str, BeforeValidator(_known), WithJsonSchema({"type": "string", "enum": [*BUILT_IN]})]
