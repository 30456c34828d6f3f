"""Enhancement as the settings have it, with its file of instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.errors import Misconfigured
from contracts.helper_tasks import ENHANCEMENT
from infra.providers.names import helper_chains
from stages.freeform_gen.enhancer import EnhancerLimits

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings.settings import Settings

#: Characters of instructions that a file may have.
MAX_INSTRUCTIONS: Final = 8000
_NAME: Final = "UNDERSTUDY_NARRATIVE__ENHANCEMENT__INSTRUCTIONS"


class InstructionsError(Misconfigured):
    """A file of instructions that cannot be used; the text names the file and the fix."""


def enhancer_limits(settings: Settings) -> EnhancerLimits:
    """What is rewritten, as these settings have it.

    Raises:
        InstructionsError: the file of instructions cannot be used.
    """
    wanted = settings.narrative.enhancement
    return EnhancerLimits(
        of=wanted.of,
        instructions="" if wanted.instructions is None else read_instructions(wanted.instructions),
        timeout_s=wanted.timeout,
        max_tokens=wanted.max_tokens,
    )


def enhancement_form(settings: Settings) -> str:
    """What shapes content through enhancement, beside the model; empty while it is off.

    Raises:
        InstructionsError: the file of instructions cannot be used.
    """
    if ENHANCEMENT not in dict(helper_chains(settings)):
        return ""
    limits = enhancer_limits(settings)
    return f" {limits.of}:{limits.hash}"


def read_instructions(path: Path) -> str:
    """The text of a file of instructions.

    Raises:
        InstructionsError: it cannot be read, is empty or too long.
    """
    try:
        text = path.read_text("utf-8").strip()
    except OSError as error:
        raise InstructionsError(
            f"{path} cannot be read ({error.strerror}); correct {_NAME}, or leave it out"
        ) from None
    except UnicodeDecodeError as error:
        raise InstructionsError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    if not text:
        raise InstructionsError(f"{path} is empty; write what the model is told, or leave {_NAME} out")
    if len(text) > MAX_INSTRUCTIONS:
        raise InstructionsError(
            f"{path} has {len(text)} characters; at most {MAX_INSTRUCTIONS} are told: make it shorter"
        )
    return text
