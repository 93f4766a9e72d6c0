"""Split conformal intervals against the theorem's exact counts, and what they refuse."""

import math
from fractions import Fraction

import numpy as np
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import conformal


@pytest.mark.parametrize("rows", [9, 10, 19, 20, 33])
@pytest.mark.parametrize("coverage", [Fraction(1, 2), Fraction(4, 5), Fraction(9, 10)])
def test_of_exchangeable_rows_the_theorems_share_is_held(rows, coverage):
    """Of n + 1 rows of different errors, each in turn new to the n others, ceil((n + 1) · coverage) are held."""
    errors = np.random.default_rng(rows).permutation(rows + 1) + 0.5
    signs = np.where(np.arange(rows + 1) % 2, 1, -1)
    held = sum(
        errors[row] <= conformal.half_width(np.delete(signs * errors, row), np.zeros(rows), float(coverage))
        for row in range(rows + 1)
    )
    assert held == math.ceil((rows + 1) * coverage)


def test_the_half_width_is_the_smallest_error_that_does():
    true, predicted = np.array([3.0, -1.0, 10.0, 4.0]), np.array([1.0, -1.0, 9.0, 9.0])  # errors 2, 0, 1, 5
    assert [conformal.half_width(true, predicted, share) for share in (0.2, 0.4, 0.5, 0.6, 0.8)] == [0, 1, 2, 2, 5]


@pytest.mark.parametrize(("rows", "finite"), [(8, False), (9, True)])
def test_too_few_rows_bound_nothing(rows, finite):
    assert math.isfinite(conformal.half_width(np.arange(rows), np.zeros(rows))) == finite


def test_new_rows_are_covered_whatever_the_distribution():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        true = rng.exponential(size=(2, 99)) ** 2
        half = conformal.half_width(true[0], np.ones(99))
        shares.append(conformal.interval_metrics(true[1], np.ones(99), half)["coverage"])
    assert np.mean(shares) == pytest.approx(0.9, abs=4 * 0.03 / 200**0.5 + 0.003)


def test_metrics_are_those_of_a_loop_and_intervals_end_at_the_least():
    true, predicted, half = [0.0, 4.0, 9.0], [1.0, 1.5, 6.0], 2.0
    ends = [(max(each - half, 0.0), each + half) for each in predicted]
    found = conformal.interval_metrics(true, predicted, half, least=0.0)
    assert found["mean_width"] == pytest.approx(np.mean([high - low for low, high in ends]))
    assert found["coverage"] == np.mean([low <= value <= high for value, (low, high) in zip(true, ends, strict=True)])


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1.0, math.nan])
def test_a_coverage_out_of_range_is_refused(coverage):
    with pytest.raises(ConfigurationError, match="coverage must be above 0 and below 1"):
        conformal.half_width([1.0], [1.0], coverage)


@pytest.mark.parametrize(("true", "message"), [([1.0], "differ in length"), ([1.0, math.nan], "missing or infinite")])
def test_bad_amounts_are_refused(true, message):
    with pytest.raises(DataError, match=message):
        conformal.half_width(true, [1.0, 2.0])
