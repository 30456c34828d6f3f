"""Numbers of the providers' tests: single precision, whatever ran before."""

from __future__ import annotations

from tests.plain_numbers import _float32  # noqa: F401 - a fixture for all tests of this folder
