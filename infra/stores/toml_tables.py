"""TOML files that people write, validated against a model."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.errors import UnderstudyError

#: Largest file, bytes.
MAX_SIZE: Final = 512 * 1024
_CAPITAL: Final = re.compile("[A-Z]")
Model = TypeVar("Model", bound=BaseModel)


def read(path: Path, model: type[Model], error: type[UnderstudyError], **more: Any) -> Model:
    """Read and check a file.

    Args:
        path: the file.
        model: the model that it must match.
        error: class of the errors that are raised.
        more: further fields, which the file itself must not have.

    Raises:
        UnderstudyError: ``error``, naming file, field and fix.
    """
    try:
        if path.stat().st_size > MAX_SIZE:
            raise error(f"{path.name}: has more than {MAX_SIZE} bytes; make it smaller")
        given = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as problem:
        raise error(f"{path.name}: cannot be read ({problem.strerror}); make sure that it exists") from None
    except UnicodeDecodeError as problem:
        raise error(f"{path.name}: is not UTF-8 at byte {problem.start}; save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise error(f"{path.name}: is not TOML: {problem}") from None
    reserved = next((name for name in more if name in given), None)
    if reserved is not None:
        raise error(f"{path.name}: {reserved}: is set by Understudy, not by the file; leave it out")
    try:
        return model.model_validate(given | more)
    except ValidationError as problem:
        raise error(f"{path.name}: {find_fault(problem, model)}") from None


def find_fault(problem: ValidationError, model: type[BaseModel]) -> str:
    """The first fault: the field, what is wrong with it, and the fix."""
    first = problem.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"] if part != "[key]"]
    text = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "extra_forbidden":
            known = f"; a file has {', '.join(model.model_fields)}" if len(where) == 1 else ""
            text = f"unknown field{known}; leave it out or correct its spelling"
        case "missing":
            # The field is missing: spelled as in the shipped files.
            where[-1] = _CAPITAL.sub(lambda match: f"_{match[0].lower()}", where[-1])
            text = "is missing; add it"
        case "value_error":
            pass
        case _:
            text = f"{repr(first['input'])[:60]} is not allowed here: {text[:1].lower()}{text[1:]}"
    return f"{'.'.join(where)}: {text}" if where else text
