import math
from typing import Any

import numpy as np
import pytest

from steelyard import _checks as check
from steelyard._checks import InputError

NO_NUMBERS: list[Any] = ["x", None, [1, 2], True, math.nan, math.inf]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_finite_number_is_refused_with_a_line_of_its_own(value: Any) -> None:
    for refuse in (
        lambda: check.positive("lam", value),
        lambda: check.at_least("lam", value, 0),
        lambda: check.between("lam", value, 0, 9),
        lambda: check.whole("lam", value, 0),
    ):
        with pytest.raises(InputError, match=r"lam must .*, got"):
            refuse()


def test_numbers_on_the_border() -> None:
    assert check.positive("lam", np.float32(0.5)) == 0.5
    assert check.at_least("lam", 2, 2) == 2
    assert check.between("lam", 0, 0, 1) == 0
    assert check.between("lam", 1, 0, 1) == 1
    assert check.whole("lam", 3, 3) == 3
    for refuse in (
        lambda: check.positive("lam", 0),
        lambda: check.at_least("lam", 1.99, 2),
        lambda: check.between("lam", 1.01, 0, 1),
        lambda: check.between("lam", -0.01, 0, 1),
        lambda: check.whole("lam", 2, 3),
        lambda: check.whole("lam", 3.0, 3),
    ):
        with pytest.raises(InputError):
            refuse()
