"""Whole numbers and seeds: what is taken, and the sentence for what is not."""

from typing import Any

import numpy as np
import pytest

from analysis import AnalysisError
from analysis.base.checks import as_generator, check_count


def test_integers_of_any_kind_are_taken() -> None:
    assert check_count("n", 3) == 3
    counted = check_count("n", np.int16(3), 0, 3)
    assert counted == 3
    assert type(counted) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None, np.nan, np.float64(2)])
def test_others_are_refused_with_their_value(value: Any) -> None:
    with pytest.raises(AnalysisError) as caught:
        check_count("n", value)
    assert str(caught.value) == f"n is {value!r}; an integer of at least 1 is needed"


def test_the_upper_end_and_a_note_stand_in_the_sentence() -> None:
    with pytest.raises(AnalysisError, match=r"^n is 5; an integer from 2 to 4 \(a side\) is needed$"):
        check_count("n", 5, 2, 4, "(a side)")


def test_a_seed_gives_the_same_numbers_and_a_generator_is_passed_on() -> None:
    assert as_generator(3).random() == as_generator(np.int64(3)).random()
    generator = np.random.default_rng(0)
    assert as_generator(generator) is generator
    for wrong in (-1, True, 1.5, None):
        with pytest.raises(AnalysisError, match=r"rng is .*; a seed"):
            as_generator(wrong)  # type: ignore[arg-type]
