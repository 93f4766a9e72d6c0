"""The splits: every row in one part, counts and orders against loops, and what they refuse."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import splits
from kmodels.preprocessing._split_rows import order_by
from kmodels.preprocessing.splits import time_rank


def interactions(seed=0, n_users=60, n_items=120):
    """Distinct (user, item) pairs in a random order, 5 to 100 per user, with many equal times."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(5, 101, n_users)
    raw_users = rng.choice(10**6, n_users, replace=False)
    users = np.repeat(raw_users, counts)
    items = np.concatenate([rng.choice(n_items, count, replace=False) for count in counts])
    order = rng.permutation(len(users))
    return users[order], items[order], rng.integers(0, 40, len(users))


def pairs(users, items, rows):
    return set(zip(users[rows].tolist(), items[rows].tolist(), strict=True))


def every_split(users, items, times):
    in_test = np.random.default_rng(1).random(len(users)) < 0.2
    return {
        "random": splits.random_per_user(users, items, seed=3),
        "time": splits.by_time_per_user(users, items, times),
        "leave-last-out": splits.leave_last_out(users, items, times),
        "given": splits.given(users, items, in_test, seed=3),
        "hash": splits.by_hash(users, items, seed=3),
    }


@pytest.mark.parametrize("name", ["random", "time", "leave-last-out", "given", "hash"])
def test_parts_hold_every_row_once_in_ascending_order(name):
    users, items, times = interactions()
    split = every_split(users, items, times)[name]
    assert np.array_equal(np.sort(np.concatenate(split)), np.arange(len(users)))
    for part in split:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        assert len(part) > 0


@pytest.mark.parametrize("name", ["random", "time", "leave-last-out", "hash"])
def test_order_of_the_rows_does_not_matter(name):
    users, items, times = interactions()
    again = np.random.default_rng(9).permutation(len(users))
    first = every_split(users, items, times)[name]
    second = every_split(users[again], items[again], times[again])[name]
    for one, other in zip(first, second, strict=True):
        assert pairs(users, items, one) == pairs(users[again], items[again], other)


@pytest.mark.parametrize(("validation", "test"), [(0.15, 0.15), (0.1, 0.1), (0.0, 0.2), (0.25, 0.0)])
def test_counts_are_those_of_a_loop_in_exact_arithmetic(validation, test):
    counts = np.arange(5, 200)
    users = np.repeat(counts, counts)
    items = np.concatenate([np.arange(count) for count in counts])
    v, t = Fraction(str(validation)), Fraction(str(test))
    for split in (
        splits.random_per_user(users, items, seed=0, validation=validation, test=test),
        splits.by_time_per_user(users, items, items, validation=validation, test=test),
    ):
        sizes = [np.bincount(users[part], minlength=200) for part in split]
        for count in counts.tolist():
            train, until_test = math.floor(count * (1 - v - t)), math.floor(count * (1 - t))
            expected = [train, until_test - train, count - until_test]
            assert [int(size[count]) for size in sizes] == expected


def test_ninety_rows_give_sixty_three_for_training():
    # (1 - 0.15 - 0.15) * 90 is 62.99999999999999 in floats.
    assert len(splits.random_per_user([1] * 90, range(90), seed=0).train) == 63


def test_random_split_depends_on_seed_and_user_and_item():
    users, items = np.repeat([1, 2], 100), np.tile(np.arange(100), 2)
    first, same, other = (splits.random_per_user(users, items, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first.test, other.test)
    test_items = [set(items[first.test][users[first.test] == user].tolist()) for user in (1, 2)]
    assert test_items[0] != test_items[1]


def test_a_seed_gives_the_same_rows_in_every_version():
    assert splits.random_per_user([7] * 10 + [3] * 10, range(20), seed=0).test.tolist() == [5, 9, 11, 17]


def test_random_split_spreads_evenly_over_items():
    users, items = np.repeat(np.arange(2000), 20), np.tile(np.arange(20), 2000)
    split = splits.random_per_user(users, items, seed=-5)
    for part, share in zip(split, (0.7, 0.15, 0.15), strict=True):
        rates = np.bincount(items[part], minlength=20) / 2000
        # Five standard errors of a share estimated from 2,000 users.
        assert np.abs(rates - share).max() < 5 * math.sqrt(share * (1 - share) / 2000)


def test_time_split_puts_earlier_rows_first_with_ties_by_hash():
    users, items, times = interactions()
    split, ranks = splits.by_time_per_user(users, items, times), time_rank(users, items, times)
    part = np.empty(len(users), int)
    for number, rows in enumerate(split):
        part[rows] = number
    for user in np.unique(users):
        rows = np.flatnonzero(users == user)
        in_order = sorted(rows, key=lambda row: ranks[row])
        assert (np.diff(part[in_order]) >= 0).all()


def splitmix64(state):
    """The published generator on Python's integers: the output for the state after one step."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
    return state ^ (state >> 31)


def test_a_hash_split_is_that_of_exact_arithmetic():
    users, items = np.random.default_rng(0).integers(0, 2**31, (2, 500))
    split = splits.by_hash(users, items, seed=5, validation=0.1, test=0.2)
    part = np.empty(500, int)
    for number, rows in enumerate(split):
        part[rows] = number
    for row, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        share = Fraction(splitmix64(splitmix64(splitmix64(5) ^ user) ^ item), 2**64)
        assert part[row] == (share >= Fraction(7, 10)) + (share >= Fraction(8, 10))


@pytest.mark.parametrize("text", [False, True])
def test_a_hash_split_of_a_piece_is_that_of_the_whole(text):
    users, items, _ = interactions()
    if text:
        users, items = users.astype(str), pd.Series(items).astype(str)
    whole = splits.by_hash(users, items, seed=1)
    for start in range(0, len(users), 700):
        piece = splits.by_hash(users[start : start + 700], items[start : start + 700], seed=1)
        for part, rows in zip(whole, piece, strict=True):
            inside = part[(part >= start) & (part < start + 700)]
            np.testing.assert_array_equal(rows + start, inside)
    assert not np.array_equal(whole.test, splits.by_hash(users, items, seed=2).test)


@pytest.mark.parametrize("text", [False, True])
def test_a_hash_split_has_its_shares_of_every_user_and_item(text):
    users, items = (each.ravel() for each in np.meshgrid(np.arange(200), np.arange(300)))
    given = (users.astype(str), items.astype(str)) if text else (users, items)
    split = splits.by_hash(*given, seed=0, validation=0.1, test=0.3)
    for part, share in zip(split, (0.6, 0.1, 0.3), strict=True):
        for ids, n in ((users, 300), (items, 200)):
            rates = np.bincount(ids[part]) / n
            # The spread over ids is binomial; five standard errors.
            assert np.abs(rates - share).max() < 5 * math.sqrt(share * (1 - share) / n)


def test_a_hash_split_refuses_ids_that_are_missing():
    with pytest.raises(DataError, match=r"row 2, column 'items': an id is missing"):
        splits.by_hash(["a", "b"], np.array(["a", None], object), seed=0)
    with pytest.raises(ConfigurationError, match="shares of validation and test"):
        splits.by_hash([1], [1], seed=0, validation=0.5, test=0.5)
    assert splits.by_hash([1, 2], [1, 2], seed=0, validation=0.0, test=0.0).sizes["train"] == 2


def test_leave_last_out_takes_the_last_two():
    users, items, times = interactions()
    split, ranks = splits.leave_last_out(users, items, times), time_rank(users, items, times)
    for user in np.unique(users):
        rows = np.flatnonzero(users == user)
        in_order = sorted(rows, key=lambda row: ranks[row])
        assert in_order[-1] in split.test
        assert in_order[-2] in split.validation
    assert len(split.test) == len(split.validation) == len(np.unique(users))


def test_ranks_of_time_are_independent_of_the_order_of_the_rows():
    users, items, times = interactions()
    ranks = time_rank(users, items, times)
    assert sorted(ranks) == list(range(len(users)))
    assert (np.diff(times[np.argsort(ranks)]) >= 0).all()
    again = np.random.default_rng(1).permutation(len(users))
    np.testing.assert_array_equal(time_rank(users[again], items[again], times[again]), ranks[again])
    named = [f"{user:07d}" for user in users], [f"{item:03d}" for item in items]
    np.testing.assert_array_equal(time_rank(*named, times.astype("datetime64[s]")), ranks)


def test_among_equal_times_every_item_is_as_often_the_last():
    n_users, n_items = 4000, 8
    users, items = np.divmod(np.arange(n_users * n_items), n_items)
    last = items[splits.leave_last_out(users, items, np.zeros(len(users))).test]
    counts = np.bincount(last, minlength=n_items)
    # Chi-squared with 7 degrees of freedom is above 24.3 once in a thousand draws.
    assert ((counts - n_users / n_items) ** 2).sum() / (n_users / n_items) < 24.3
    # The last one says of the last but one only that it is another.
    before = items[splits.leave_last_out(users, items, np.zeros(len(users))).validation]
    assert abs(np.corrcoef(last, before)[0, 1] + 1 / (n_items - 1)) < 4 / math.sqrt(n_users)


def test_rows_of_missing_ids_and_times_have_ranks_too():
    ranks = time_rank(pd.Series([1, None, 2]), pd.Series(["a", "a", None]), [3, 1, float("nan")])
    assert ranks.tolist() == [2, 1, 0]
    with pytest.raises(DataError, match="the columns differ in length"):
        time_rank([1], [1, 2], [0, 0])


def test_dates_serve_as_times():
    dates = np.array(["2001-01-03", "2001-01-01", "2001-01-02"], "datetime64[s]")
    assert splits.leave_last_out([1, 1, 1], [1, 2, 3], dates).test.tolist() == [0]


def test_given_keeps_the_test_and_takes_a_tenth_for_validation():
    users, items, _ = interactions()
    in_test = np.random.default_rng(1).random(len(users)) < 0.3
    split = splits.given(users, items, in_test, seed=0)
    assert np.array_equal(split.test, np.flatnonzero(in_test))
    for user in np.unique(users):
        n = int((~in_test & (users == user)).sum())
        assert int((users[split.validation] == user).sum()) == n // 10
    other = splits.given(users, items, in_test, seed=1)
    assert not np.array_equal(split.validation, other.validation)
    again = np.random.default_rng(9).permutation(len(users))
    shuffled = splits.given(users[again], items[again], in_test[again], seed=0)
    assert pairs(users, items, split.validation) == pairs(users[again], items[again], shuffled.validation)


def test_given_takes_test_rows_of_users_without_other_rows():
    users, in_test = [9, *[4] * 20, 9], [True, *[False] * 20, True]
    split = splits.given(users, range(22), in_test, seed=0)
    assert split.test.tolist() == [0, 21]
    assert sorted([*split.train, *split.validation]) == list(range(1, 21))
    assert len(split.validation) == 2


def test_a_user_with_too_few_rows_is_named():
    users, items = [4, 4, 4, 4, 9, 8], [1, 2, 3, 4, 1, 1]
    message = r"user 8 \(and 1 more users\) .* expected at least 2 rows; received '1 rows'"
    with pytest.raises(DataError, match=message):
        splits.random_per_user(users, items, seed=0)
    with pytest.raises(DataError, match=message):
        splits.by_time_per_user(users, items, range(6))
    with pytest.raises(DataError, match=r"user 8 .* expected at least 3 rows"):
        splits.leave_last_out(users, items, range(6))


def test_the_fewest_rows_that_are_enough_are_enough():
    assert [len(part) for part in splits.random_per_user([1, 1], [1, 2], seed=0)] == [1, 0, 1]
    assert [len(part) for part in splits.leave_last_out([1] * 3, [1, 2, 3], [1, 2, 3])] == [1, 1, 1]


def test_repeated_pairs_are_refused_where_they_make_the_order_ambiguous():
    users, items = [1, 2, 1, 1], [7, 7, 8, 7]
    with pytest.raises(DataError, match=r"row 4: this row repeats row 1; .*'users 1, items 7'"):
        splits.random_per_user(users, items, seed=0)
    with pytest.raises(DataError, match="row 4: this row repeats row 1"):
        splits.given(users, items, [True, False, False, False], seed=0)
    with pytest.raises(DataError, match="row 4: this row repeats row 1"):
        splits.leave_last_out(users, items, [5, 5, 5, 5])
    assert splits.leave_last_out([1, 1, 1], [7, 8, 7], [1, 2, 3]).test.tolist() == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], []), "no rows"),
        (([1, 1], [1, 2, 3], [1, 2, 3]), "differ in length"),
        (([1.0, 1.5, 2.0], [1, 2, 3], [1, 2, 3]), "column 'users': ids are not a column of integers or of text"),
        (([1, 1, 1], ["a", None, "c"], [1, 2, 3]), "row 2, column 'items': an id is missing"),
        (([1, 1, 1], [1, 2, 3], [1, np.nan, 3]), "row 2, column 'timestamps': a time is missing"),
        (([1, 1, 1], [1, 2, 3], ["x", "y", "z"]), "times are not"),
    ],
)
def test_bad_columns_are_refused(arguments, message):
    for split in (splits.by_time_per_user, splits.leave_last_out):
        with pytest.raises(DataError, match=message):
            split(*arguments)


def test_empty_and_unequal_columns_are_refused_by_the_hashed_splits():
    with pytest.raises(DataError, match="no rows"):
        splits.random_per_user([], [], seed=0)
    with pytest.raises(DataError, match="differ in length"):
        splits.given([1, 1], [1, 2], [True], seed=0)
    with pytest.raises(DataError, match="not boolean"):
        splits.given([1, 1], [1, 2], [0, 1], seed=0)
    with pytest.raises(DataError, match="no row is marked"):
        splits.given([1, 1], [1, 2], [False, False], seed=0)
    with pytest.raises(DataError, match="no row is left for training"):
        splits.given([1, 1], [1, 2], [True, True], seed=0)


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_shares_that_leave_nothing_are_refused(shares):
    with pytest.raises(ConfigurationError, match="shares"):
        splits.random_per_user([1] * 9, range(9), seed=0, validation=shares[0], test=shares[1])


def test_make_is_the_method_of_that_name():
    users, items, times = interactions()
    in_test = np.random.default_rng(1).random(len(users)) < 0.2
    expected = {
        "random": splits.random_per_user(users, items, seed=4),
        "time": splits.by_time_per_user(users, items, times),
        "leave-last-out": splits.leave_last_out(users, items, times),
        "given": splits.given(users, items, in_test, seed=4),
        "hash": splits.by_hash(users, items, seed=4),
    }
    assert set(expected) == set(splits.METHODS)
    for method, split in expected.items():
        made = splits.make(method, users, items, times, seed=4, in_test=in_test)
        for part, other in zip(made, split, strict=True):
            np.testing.assert_array_equal(part, other)


def test_make_refuses_an_unknown_method_and_a_given_split_without_rows():
    with pytest.raises(ConfigurationError, match="one of random, time, leave-last-out, given, hash; received 'k'"):
        splits.make("k", [1, 1], [1, 2], [1, 2], seed=0)
    with pytest.raises(ConfigurationError, match="needs in_test"):
        splits.make("given", [1, 1], [1, 2], [1, 2], seed=0)
    for method in ("time", "leave-last-out"):
        with pytest.raises(ConfigurationError, match=f"split '{method}' needs timestamps"):
            splits.make(method, [1, 1], [1, 2], seed=0)


def test_by_time_is_a_sorted_list_cut_in_three():
    years = np.random.default_rng(0).integers(1950, 2017, 203)
    split = splits.by_time(years, validation=0.2, test=0.1)
    assert [len(part) for part in split] == [142, 40, 21]  # floor(.7 · 203), floor(.9 · 203) - 142, the rest
    assert sorted(np.concatenate(split).tolist()) == list(range(203))
    assert years[split.train].max() <= years[split.validation].min()
    assert years[split.validation].max() <= years[split.test].min()
    for part in split:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    by_date = splits.by_time((years - 1970).astype("datetime64[Y]"), validation=0.2, test=0.1)
    for part, other in zip(split, by_date, strict=True):
        np.testing.assert_array_equal(part, other)


def test_by_time_refuses_what_has_no_order():
    with pytest.raises(DataError, match="row 2, column 'timestamps': a time is missing"):
        splits.by_time(np.array(["2001-01-01", "NaT"], "datetime64[D]"))
    with pytest.raises(DataError, match="no rows"):
        splits.by_time([])
    with pytest.raises(DataError, match="too few rows to leave one for training; expected at least 2; received 1"):
        splits.by_time([3])


# --- rows that stand alone


def check_parts(split, rows):
    for part in split:
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
    assert np.sort(np.concatenate(split)).tolist() == list(range(rows))


@pytest.mark.parametrize("rows", [2, 7, 90, 600])
def test_random_rows(rows):
    split = splits.random(rows, seed=0, validation=0.15, test=0.15)
    check_parts(split, rows)
    # The sizes by whole numbers: floor(.7 n) and n - floor(.85 n).
    assert (len(split.train), len(split.test)) == (rows * 70 // 100, rows - rows * 85 // 100)


def test_too_few_rows():
    with pytest.raises(DataError, match="too few rows to leave one for training; expected at least 2; received 1"):
        splits.random(1, seed=0)


def test_published_sizes():
    assert [len(part) for part in splits.random(1569, seed=4, validation=0.1275, test=0.15)] == [1133, 200, 236]
    labels = np.arange(1569) % 3
    assert [len(part) for part in splits.stratified(labels, seed=4, validation=0.1275, test=0.15)] == [1133, 200, 236]


@pytest.mark.parametrize(
    "split", [lambda seed: splits.random(300, seed=seed), lambda seed: splits.stratified([0, 1] * 150, seed=seed)]
)
def test_the_seed_decides(split):
    first, again, other = split(1), split(1), split(2)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize("labels", [np.repeat([0, 1, 2], [300, 60, 40]), np.repeat(["no", "yes"], [350, 50])])
def test_stratified_shares(labels):
    labels = np.random.default_rng(0).permutation(labels)
    split = splits.stratified(labels, seed=5, validation=0.2, test=0.1)
    check_parts(split, 400)
    for kind in np.unique(labels):
        for part in split:
            assert abs((labels[part] == kind).sum() - (labels == kind).mean() * len(part)) < 1


def test_parts_may_be_left_out():
    split = splits.stratified([0, 1] * 20, seed=0, validation=0, test=0.25)
    assert [len(part) for part in split] == [30, 0, 10]
    check_parts(split, 40)
    assert [len(part) for part in splits.random(40, seed=0, validation=0.25, test=0)] == [30, 10, 0]


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.5, 0.5), (float("nan"), 0.1)])
@pytest.mark.parametrize(
    "split", [lambda **k: splits.random(100, **k), lambda **k: splits.stratified([0, 1] * 50, **k)]
)
def test_shares_are_checked(split, validation, test):
    with pytest.raises(ConfigurationError, match="leave something for training"):
        split(seed=0, validation=validation, test=test)


def test_stratified_refuses():
    with pytest.raises(DataError, match="class 2 with 1"):
        splits.stratified([0, 1] * 20 + [2], seed=0)
    with pytest.raises(DataError, match="every class in every part"):
        splits.stratified(np.arange(20) % 5, seed=0)
    with pytest.raises(DataError, match="not a column"):
        splits.stratified([[0, 1]], seed=0)


def test_require_classes():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0])
    whole = splits.Split(np.array([0, 1, 2]), np.array([3, 4, 5]), np.array([6, 7, 8]))
    with pytest.raises(DataError, match=r"class 'high' has no row in the test part; .*received \[2, 1, 0\]"):
        splits.require_classes(labels, whole, ("low", "medium", "high"))
    splits.require_classes(labels, whole._replace(test=np.array([6, 7, 5])), ("low", "medium", "high"))
    splits.require_classes(labels, whole._replace(test=np.array([], np.int64)), ("low", "medium", "high"))


# --- folds


@pytest.mark.parametrize(("rows", "folds"), [(400, 5), (97, 3), (20, 2)])
def test_every_row_is_tested_once(rows, folds):
    labels = np.random.default_rng(0).permutation(np.arange(rows) % 4 == 0).astype(int)
    made = splits.folds(labels, n_folds=folds, seed=3, validation=0.1)
    assert len(made) == folds
    for split in made:
        check_parts(split, rows)
        assert len(split.validation) == rows // 10
        for part in split:
            # A class has its share of each part, but for one row of it where shares are no whole numbers.
            assert abs(labels[part].sum() - labels.mean() * len(part)) <= 1
    assert np.sort(np.concatenate([split.test for split in made])).tolist() == list(range(rows))


def test_the_seed_decides_the_folds():
    labels = np.arange(100) % 2
    first, again, other = (splits.folds(labels, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(*parts) for pair in zip(first, again, strict=True) for parts in zip(*pair, strict=True))
    assert not np.array_equal(first[0].test, other[0].test)
    assert not np.array_equal(first[0].validation, first[1].validation)


@pytest.mark.parametrize(
    ("labels", "folds", "error", "message"),
    [
        ([0, 1] * 10, 1, ConfigurationError, "n_folds must be 2 or more. Received: n_folds=1"),
        ([0] * 20 + [1] * 2, 3, DataError, "expected 3 rows of each class or more; received 'class 1 with 2 rows'"),
        ([], 3, DataError, "too few rows for the folds"),
        ([[0, 1]], 2, DataError, "labels are not a column"),
    ],
)
def test_folds_that_cannot_be_made(labels, folds, error, message):
    with pytest.raises(error, match=message):
        splits.folds(np.array(labels, int), n_folds=folds, seed=0)


# --- ids kept back


def ids_of(rows=5000, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"user": rng.integers(0, 300, rows), "item": rng.integers(0, 200, rows)})


@pytest.mark.parametrize("unseen", [0.0, 0.02, 0.1])
def test_kept_back_ids_have_no_training_row(unseen):
    ids = ids_of()
    split = splits.kept_back(ids, seed=1, unseen=unseen)
    check_parts(split, len(ids))
    hidden = np.zeros(len(ids), bool)
    for name in ids:
        without = set(ids[name]) - set(ids[name].iloc[split.train])
        assert len(without) == math.ceil(unseen * ids[name].nunique())
        hidden |= ids[name].isin(without).to_numpy()
    assert not hidden[split.validation].any()
    left = len(ids) - hidden.sum()
    assert [len(split.train), len(split.validation)] == [left * 8 // 10, left * 9 // 10 - left * 8 // 10]
    assert len(split.test) == left - left * 9 // 10
    np.testing.assert_array_equal(split.unseen, np.flatnonzero(hidden))
    assert abs(np.mean(split.train) / len(ids) - 0.5) < 0.02


def test_kept_back_takes_columns_of_any_kind_alike():
    ids = ids_of()
    text = ids.map("{:03d}".format)
    expected = splits.kept_back(ids, seed=1)
    for columns in (text, text.astype("category"), {name: text[name].to_numpy() for name in text}):
        assert all(map(np.array_equal, splits.kept_back(columns, seed=1), expected))
    assert not np.array_equal(splits.kept_back(ids, seed=2).train, expected.train)


def test_kept_back_refuses():
    ids = {"user": [1, 2, 3, 4], "item": ["b", "a", "c", "a"]}
    with pytest.raises(ConfigurationError, match="unseen=1"):
        splits.kept_back(ids, seed=0, unseen=1)
    with pytest.raises(ConfigurationError, match="leave something for training"):
        splits.kept_back(ids, seed=0, validation=0.5, test=0.5)
    with pytest.raises(DataError, match="no row is left for training; received '4 rows, 4 kept back'"):
        splits.kept_back(ids, seed=0, unseen=0.9)
    with pytest.raises(DataError, match="no column of ids"):
        splits.kept_back({}, seed=0)


# --- text ids


def test_text_ids_are_split_as_their_ranks_are():
    users, items, times = interactions()
    text = {value: f"{rank:06d}" for rank, value in enumerate(np.unique(users))}
    rank = np.unique(users, return_inverse=True)[1]
    named = [text[user] for user in users]
    for method in ("random", "time", "leave-last-out"):
        expected = splits.make(method, rank, items, times, seed=2)
        assert all(map(np.array_equal, splits.make(method, named, items, times, seed=2), expected))
    with pytest.raises(DataError, match="user ann would be left"):
        splits.random_per_user(["bob", "ann", "bob"], [1, 2, 2], seed=0)


@pytest.mark.parametrize("most", [0, 3, 2**20, 2**62], ids=["equal", "few", "many", "any"])
def test_the_order_of_values_and_hashes_is_that_of_a_lexicographic_sort(most: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-most, most + 1, 5000)
    hashes = rng.integers(0, 2**64, 5000, dtype=np.uint64)
    again = rng.integers(0, 5000, 2500)
    values[again[:1250]], hashes[again[:1250]] = values[again[1250:]], hashes[again[1250:]]
    assert order_by(values, hashes).tolist() == np.lexsort((hashes, values)).tolist()


def test_no_group_is_in_two_parts():
    rng = np.random.default_rng(0)
    groups = rng.choice([f"group {each}" for each in range(40)], 900)
    split = splits.by_group(groups, seed=3, validation=0.2, test=0.25)
    assert np.array_equal(np.sort(np.concatenate(split)), np.arange(900))
    kinds = [set(groups[part].tolist()) for part in split]
    assert [len(each) for each in kinds] == [22, 8, 10]
    assert len(set.union(*kinds)) == sum(map(len, kinds)) == 40
    again = rng.permutation(900)
    others = splits.by_group(groups[again], seed=3, validation=0.2, test=0.25)
    assert [set(groups[again][part].tolist()) for part in others] == kinds
    assert not np.array_equal(splits.by_group(groups, seed=4).test, splits.by_group(groups, seed=3).test)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", "b", "c"] * 5, "too few groups; expected a group in every part"),
        ([1, np.nan] * 9, "row 2, column 'house'"),
    ],
)
def test_groups_that_cannot_be_split_are_refused(groups, message):
    with pytest.raises(DataError, match=message):
        splits.by_group(pd.Series(groups, name="house"), seed=0)
