"""Files to sign in with: checked before nats-py reads them, which trusts them and waits for ever on some."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: Bytes of a file that are read; a credentials file has some thousand.
_MOST: Final = 64 * 1024
_TOKEN: Final = re.compile(rb"-+BEGIN NATS USER JWT-+\r?\n([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\n")
_SEED: Final = re.compile(rb"-+BEGIN USER NKEY SEED-+\r?\n([A-Z2-7]+)\n")


def fault_of_creds(file: Path) -> str | None:
    """Why a credentials file cannot be used, with the fix; ``None``: it can.  Never what it holds."""
    return _fault(file, creds=True)


def fault_of_seed(file: Path) -> str | None:
    """Why a file with an NKey seed cannot be used, with the fix; ``None``: it can.  Never what it holds."""
    return _fault(file, creds=False)


def _fault(file: Path, *, creds: bool) -> str | None:
    try:
        if not file.is_file():
            return f"{file} is not a file; name one that is"
        with file.open("rb") as opened:
            content = opened.read(_MOST + 1)
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}; correct its owner or its mode"
    if len(content) > _MOST:
        return f"{file} has more than {_MOST} bytes, which no key has; name another file"
    return _fault_of_token(file, content) if creds else _fault_of_key(file, content)


def _fault_of_token(file: Path, content: bytes) -> str | None:
    token, seed = _TOKEN.search(content), _SEED.search(content)
    if token is None or seed is None:
        missing = "user JWT" if token is None else "NKey seed"
        return f"{file} has no {missing} between its BEGIN and END lines; write it again, as with `nsc generate creds`"
    return None if _is_seed(seed[1]) else f"the NKey seed of {file} is damaged; write the file again"


def _fault_of_key(file: Path, content: bytes) -> str | None:
    if _is_seed(content.strip()):
        return None
    return f"{file} holds no NKey seed (58 characters that begin with SU); write it again"


def _is_seed(text: bytes) -> bool:
    import nkeys  # pyright: ignore[reportMissingTypeStubs] # noqa: PLC0415 - of an extra

    try:
        nkeys.from_seed(bytearray(text)).wipe()
    except (nkeys.NkeysError, ValueError):
        return False
    return True
