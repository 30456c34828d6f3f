"""Shell completion, as shells ask for it."""

from __future__ import annotations

import re

import pytest

from tests.command_line import Ended, understudy


def complete(shell: str, words: str) -> Ended:
    """What a shell's completion function gets for the words so far, the last of which is incomplete."""
    asked = {"_UNDERSTUDY_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": words}
    if shell == "bash":
        asked |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return understudy(environment=asked)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("understudy worl", ["worlds"]),
        ("understudy worlds ", ["ls", "check"]),
        ("understudy config show --ch", ["--changed"]),
        ("understudy zzz", []),
    ],
)
def test_commands_and_options_are_completed(words, offered) -> None:
    bash, zsh = complete("bash", words), complete("zsh", words)
    assert (bash.status, zsh.status, bash.err, zsh.err) == (0, 0, "", "")
    assert bash.out.split() == offered
    # As arguments of its function _arguments: "name":"help".
    assert re.findall(r'(?<=["(\n])"?([\w-]+)":"', zsh.out) == offered
