"""Is text told in whole characters, and never beyond a stop?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.engine.text import Detokenizer

TEXTS = st.text(st.sampled_from("aжü雪😀 \n"), max_size=30)


def decode(tokens) -> str:
    """One token per byte, as the worst byte-level tokenizer would have it."""
    return bytes(tokens).decode("utf-8", "replace")


@given(TEXTS, st.integers(1, 5))
def test_pieces_are_the_text_and_no_piece_has_half_a_character(text, size) -> None:
    writer = Detokenizer(decode)
    tokens = list(text.encode())
    pieces = [writer.add(tokens[at : at + size]) for at in range(0, len(tokens), size)]
    pieces.append(writer.end())
    assert "".join(pieces) == writer.text == text
    assert not any("\ufffd" in piece for piece in pieces)


@given(TEXTS, st.text(st.sampled_from("aжü雪"), min_size=1, max_size=3), TEXTS, st.integers(1, 5))
def test_nothing_of_a_stop_text_or_behind_it_is_told(before, stop, after, size) -> None:
    whole = before + stop + after
    writer = Detokenizer(decode, (stop,))
    tokens = list(whole.encode())
    pieces = []
    for at in range(0, len(tokens), size):
        pieces.append(writer.add(tokens[at : at + size]))
        if writer.stopped:
            break
    pieces.append(writer.end())
    assert "".join(pieces) == writer.text == whole[: whole.index(stop)]
    assert writer.stopped


def test_bytes_that_are_no_text_are_told_at_the_end() -> None:
    writer = Detokenizer(decode)
    assert writer.add([0xC3]) == ""
    assert writer.end() == "\ufffd"
