"""Redaction: values of settings as people may see them, without their secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic import SecretStr

#: What is shown instead of a secret.
HIDDEN: Final = "********"
#: The start of a URL, also of one that follows another after a comma.
_URL: Final = re.compile(r"(?:^|(?<=,))\s*[a-zA-Z][a-zA-Z0-9+.-]*://")
#: A parameter of a URL.
_PARAMETER: Final = re.compile(r"([?&])([^=&]+)=([^&]*)")
#: The seed of an NKey, which somebody may write where its file belongs.
_SEED: Final = re.compile(r"S[A-Z2-7]{55,}")
#: A user with a password before an address; and a user or a token.
_USER: Final = re.compile(r"^([^\s:@]*:)\S*@")
_ANY_USER: Final = re.compile(r"^([^\s:@]*:)?\S*@")
#: Names of settings that hold addresses.
_ADDRESS: Final = re.compile(r"url|servers|endpoint", re.IGNORECASE)
#: Settings whose value is never shown, not even in an error; misspelt ones too.
SECRET_NAME: Final = re.compile(r"key|secret|password|token(?!s)", re.IGNORECASE)


def redact(name: str, value: Any) -> tuple[Any, bool]:
    """A value as JSON without its secrets, and whether there were any.

    Args:
        name: last part of the setting's name.
        value: its value.
    """
    if isinstance(value, SecretStr):
        return HIDDEN, True
    match value:
        case Path():
            return _redact_text(name, str(value))
        case str():
            return (HIDDEN, True) if SECRET_NAME.search(name) else _redact_text(name, value)
        case list() | tuple():
            found = [redact(name, each) for each in cast("list[Any]", value)]
            return [shown for shown, _ in found], any(hidden for _, hidden in found)
        case Mapping():
            inner = cast("Mapping[Any, Any]", value).items()
            pairs = {str(key): redact(str(key), each) for key, each in inner}
            return {key: shown for key, (shown, _) in pairs.items()}, any(h for _, h in pairs.values())
        case _:
            return value, False


def _redact_text(name: str, text: str) -> tuple[str, bool]:
    if _SEED.fullmatch(text.strip()):
        return HIDDEN, True
    starts = [found.start() for found in _URL.finditer(text)]
    if not starts:
        # Not a URL, or one with a mistake.
        user = _USER if not _ADDRESS.search(name) else _ANY_USER
        shown = user.sub(lambda found: f"{found[1] or ''}{HIDDEN}@", text)
        return shown, shown != text
    ends = [*starts[1:], len(text)]
    shown = text[: starts[0]] + "".join(
        _redact_url(text[start:end]) for start, end in zip(starts, ends, strict=True)
    )
    return shown, shown != text


def _redact_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    # At the last one: a password may have an @.
    user, at, host = rest.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        # A name without a password is a token for NATS.
        user = f"{name}:{HIDDEN}" if colon else HIDDEN
    host = _PARAMETER.sub(
        lambda found: f"{found[1]}{found[2]}={HIDDEN}" if SECRET_NAME.search(found[2]) else found[0], host
    )
    return f"{scheme}://{user}{at}{host}"
