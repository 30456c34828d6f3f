"""Does what is kept of a long text fit, and is it made of whole sentences?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.engine.truncation import fit

STORY = (
    "Mara guards the lighthouse. The weather is nice. The lighthouse keeper lost the lighthouse key. "
    "Somebody sneezes. Mara finds the key in the lighthouse."
)


def words(text: str) -> int:
    return len(text.split())


def test_what_fits_stays_as_it_is() -> None:
    fitted = fit(STORY, 100, words)
    assert (fitted.text, fitted.kept, fitted.of) == (STORY, 5, 5)


def test_the_first_sentence_and_those_about_the_same_are_kept_in_order() -> None:
    fitted = fit(STORY, 19, words)
    assert fitted.text == (
        "Mara guards the lighthouse. The lighthouse keeper lost the lighthouse key. "
        "Mara finds the key in the lighthouse."
    )
    assert (fitted.kept, fitted.of) == (3, 5)


def test_a_text_without_sentences_is_cut_at_a_word() -> None:
    fitted = fit("coin " * 50, 7, words)
    assert (fitted.text, fitted.kept) == (" ".join(["coin"] * 7), 0)


@given(st.text(st.sampled_from("ab. !?\nñ"), max_size=200), st.integers(1, 40))
def test_what_is_kept_fits_and_was_there(text, room) -> None:
    fitted = fit(text, room, len)
    assert len(fitted.text) <= room or len(text) <= room
    assert all(character in text for character in fitted.text)
    assert fitted.kept <= fitted.of
