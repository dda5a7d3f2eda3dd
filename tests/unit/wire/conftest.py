"""Samples that do not depend on which tests ran before."""

from __future__ import annotations

import pytest

from tests.unit.wire import samples


@pytest.fixture(autouse=True)
def _same_samples() -> None:
    samples.begin_anew()
