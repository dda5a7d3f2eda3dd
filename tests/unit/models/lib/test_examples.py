"""models/lib/examples.py: a split that is the same in every run."""

from __future__ import annotations

import numpy as np
import pytest

from models.lib.examples import held_out, unit_hash

EXAMPLES = [f"example {number}" for number in range(1000)]


def test_unit_hash_is_stable() -> None:
    assert unit_hash("argparse.py") == unit_hash(b"argparse.py")
    assert unit_hash("argparse.py") == pytest.approx(0.786127, abs=1e-6)


def test_about_the_fraction_is_held_out() -> None:
    assert 0.07 < held_out(EXAMPLES).mean() < 0.13
    assert 0.35 < held_out(EXAMPLES, 0.4).mean() < 0.45


def test_an_example_stays_on_its_side_when_others_come() -> None:
    np.testing.assert_array_equal(held_out(EXAMPLES)[100:300], held_out(EXAMPLES[100:300]))


def test_equal_examples_are_on_one_side() -> None:
    np.testing.assert_array_equal(held_out(EXAMPLES + EXAMPLES), np.tile(held_out(EXAMPLES), 2))


@pytest.mark.parametrize("number", range(10))
def test_something_is_always_held_out(number: int) -> None:
    assert held_out([f"a{number}", f"b{number}"]).sum() >= 1
