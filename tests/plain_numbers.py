"""Which numbers do tests of models compute with?

What is compared bit by bit has to be float32 on every machine: `auto` takes bfloat16 on processors that multiply
it, and there equal seeds are equal only in the same batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _float32() -> Iterator[None]:
    from infra.engine import load  # noqa: PLC0415 - torch only where its tests run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "_cpu_flags", frozenset)
        yield
