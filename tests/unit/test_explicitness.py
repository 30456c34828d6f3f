"""Which texts are above a rating, and which only look like it?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.nodes.node import Rating
from contracts.policy.explicitness import ExplicitWords, Rule
from infra.settings.settings import load
from infra.stores import samples, word_lists
from infra.stores.word_lists import WordListError

SHIPPED = word_lists.load(load().rating_words)
SAMPLES = samples.load(load().samples_dir)
_WORDS = [word for rule in SHIPPED.rules for word in rule.words if not rule.beside]


def needed(text: str) -> Rating:
    """The least rating that allows a text."""
    return next(rating for rating in Rating if not SHIPPED.above([text], rating))


@pytest.mark.parametrize(
    "text",
    [
        "Sussex and Essex, Middlesex and Wessex",
        "the assassin passes the class and assembles the glass",
        "Scunthorpe United",
        "cocktails at the Hancock, a peacock, Dickens and Moby-Dick",
        "Titania's bass guitar; the brass; a compass",
        "the therapist and the grape; scrape, drape, rapeseed",
        "a sextant, a sextet, a bisexagesimal clock",
        "stars that the naked eye sees",
        "The NAKED TRUTH.",
        "an ox and an ass in the stable",
        "the ass brayed at the mule",
        "a bastard sword of Toledo",
        "she unbuttoned her coat slowly",
        "a kiss on the pier; they kissed and were glad",
        "the embrace of two old friends",
        "a pussy cat with a bell",
        "Assess the analysis of the Pennsylvania canal",
    ],
)
def test_what_only_looks_like_it_is_sfw(text) -> None:
    assert needed(text) is Rating.SFW


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("They kissed hungrily.", Rating.ROMANTIC),
        ("He kissed her neck.", Rating.ROMANTIC),
        ("Shit, said the captain.", Rating.ROMANTIC),
        ("What an ass you are!", Rating.ROMANTIC),
        ("They made love until dawn.", Rating.MATURE_IMPLIED),
        ("They made\n  LOVE", Rating.SFW),
        ("She stood naked in the rain.", Rating.MATURE_IMPLIED),
        ("half-naked", Rating.MATURE_IMPLIED),
        ("The naked eye sees a naked man.", Rating.MATURE_IMPLIED),
        ("one_night-stand", Rating.MATURE_IMPLIED),
        ("He slowly unbuttoned her blouse.", Rating.MATURE_IMPLIED),
        ("SEX", Rating.RESTRICTED),
        ("\uff33\uff25\uff38", Rating.RESTRICTED),
        ("s\u200bex", Rating.RESTRICTED),
        ("of the opposite sex, not sex", Rating.RESTRICTED),
    ],
)
def test_a_text_needs_the_rating_of_its_gravest_words(text, rating) -> None:
    assert needed(text) is rating


def test_a_word_is_not_beside_another_in_the_next_sentence() -> None:
    assert needed("They kissed. The longing of the gulls went on.") is Rating.SFW


def test_a_finding_names_place_and_matter_and_never_the_word() -> None:
    document = {"title": "Night", "lines": [{"speaker": "Mara", "text": "fine"}, {"text": "Sex, she said"}]}
    (found,) = SHIPPED.above(document, Rating.MATURE_IMPLIED)
    assert (found.path, found.what, found.needs) == ("lines.1.text", "a sexual act", Rating.RESTRICTED)
    assert SHIPPED.above(document, Rating.RESTRICTED) == ()


def test_names_of_fields_are_not_content() -> None:
    assert SHIPPED.above({"sex": "female"}, Rating.SFW) == ()


@given(st.sampled_from(_WORDS), st.sampled_from(["", " ", "-", "_", "\n", ", ", "“"]))
def test_every_listed_word_counts_in_any_case_and_beside_any_mark(word, mark) -> None:
    for form in (word, word.upper(), word.title()):
        assert needed(f"{mark}{form}{mark}") is not Rating.SFW


@given(st.sampled_from(_WORDS), st.text("abcdefghij0123456789é", min_size=1, max_size=3), st.booleans())
def test_no_word_counts_as_a_part_of_a_longer_one(word, more, before) -> None:
    first, *rest = word.split(" ")
    glued = " ".join([f"{more}{first}", *rest]) if before else f"{word}{more}"
    # Gluing may make another listed word, such as a plural.
    if any(part in {one for each in _WORDS for one in each.split(" ")} for part in glued.split(" ")):
        return
    assert needed(glued) is Rating.SFW


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=12,
    )
)
def test_any_document_is_judged_and_what_a_rating_allows_a_higher_one_does(document) -> None:
    found = [len(SHIPPED.above(document, rating)) for rating in Rating]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0


@pytest.mark.parametrize(
    "sample",
    [each for kind in ("layout", "plot", "scene", "dialogue", "transition") for each in SAMPLES.of_kind(kind)]
    + [SAMPLES.default_content("transition_01")],
    ids=lambda sample: sample.name,
)
def test_what_stands_in_keeps_to_its_own_rating(sample) -> None:
    assert SHIPPED.above(sample.content, sample.rating) == ()


def test_a_rule_may_be_any(tmp_path) -> None:
    file = tmp_path / "words.toml"
    file.write_text('[[rule]]\nwhat = "magic"\nneeds = "PG-13"\nwords = ["hex"]\nexcept = ["hex code"]\n')
    judge = word_lists.load(file)
    assert judge.above({"a": "a hex code"}, Rating.SFW) == ()
    (found,) = judge.above({"a": "a hex"}, Rating.SFW)
    assert (found.what, found.needs) == ("magic", Rating.ROMANTIC)
    assert (
        ExplicitWords([Rule(what="x", needs="R", words=("hex",))]).above("hex", Rating.MATURE_IMPLIED) == ()
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "words.toml: rule: is missing; add it"),
        (
            '[[rule]]\nwhat = "x"\nneeds = "hot"\nwords = ["a"]\n',
            "rule.0.needs: 'hot' is not a rating; use one of",
        ),
        (
            '[[rule]]\nwhat = "x"\nneeds = "G"\nwords = ["a"]\n',
            "rule.0.needs: 'sfw' allows every word that is not",
        ),
        (
            '[[rule]]\nwhat = "x"\nneeds = "R"\nwords = ["--"]\n',
            "rule.0.words: '--' has no letters; remove it",
        ),
        ('[[rule]]\nwhat = "x"\nneeds = "R"\nwords = []\n', "rule.0.words: [] is not allowed here"),
        ('[[rule]]\nwhat = "x"\nneeds = "R"\nwords = ["a"]\nnear = []\n', "rule.0.near: unknown field"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_file_field_and_fix(tmp_path, text, says) -> None:
    (tmp_path / "words.toml").write_text(text)
    with pytest.raises(WordListError) as error:
        word_lists.load(tmp_path / "words.toml")
    assert str(error.value).startswith("words.toml: ")
    assert says in str(error.value)


def test_a_list_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(WordListError, match=r"words\.toml: cannot be read"):
        word_lists.load(tmp_path / "words.toml")
