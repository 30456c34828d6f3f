"""Random schemas of all keywords: what their grammars write follows them, but for what a warning names."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from infra.lab.bench import agreement
from tests.profiles import examples


@examples(60)
@given(seed=st.integers(0, 2**32))
def test_a_document_of_a_grammar_is_valid_unless_a_warning_names_the_keyword(seed) -> None:
    counts: Counter[str] = Counter()
    found: list[str] = []
    agreement.judge(seed, counts, found)
    assert found == []


def test_a_run_judges_documents_that_the_grammar_takes_and_others() -> None:
    found = agreement.run(300, seed=1)
    assert found.passed
    assert found.documents >= 300
    assert 0 < found.taken < found.documents
    assert found.warned
