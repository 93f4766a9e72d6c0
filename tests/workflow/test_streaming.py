"""Ratings as a stream: ids, parts, biases and errors are those of the same rows in memory; what is refused."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets.parquet import ParquetTable
from kmodels.errors import DataError
from kmodels.evaluation import baselines
from kmodels.evaluation.baselines import STRENGTHS
from kmodels.evaluation.regression import regression_metrics
from kmodels.preprocessing import splits
from kmodels.workflow import streaming

pytest.importorskip("pyarrow")
NAMES = {"user_id": "reader", "item_id": "item_id", "rating": "score"}


def ratings_of(n_users=300, n_items=90, rows=9000, seed=0):
    """Ratings with an effect of each user and item, sorted by user; some ids are rare."""
    rng = np.random.default_rng(seed)
    pairs = np.sort(rng.choice(n_users * n_items, rows, replace=False))
    user, item = pairs // n_items, (pairs % n_items) ** 2 // n_items
    table = pd.DataFrame({"reader": user * 1000, "item_id": item + 7}).drop_duplicates()
    rare = (user[table.index] % 50 == 3) | (table["item_id"] % 20 == 5).to_numpy()
    table = table[~rare | (rng.random(len(table)) < 0.07)]
    effect = rng.normal(0, 0.6, n_users)[table["reader"] // 1000] + rng.normal(0, 0.6, 100)[table["item_id"]]
    score = np.clip(np.round(6 + 2 * effect + rng.normal(0, 1, len(table))), 1, 10)
    return table.assign(score=score.astype("float32")).astype({"reader": "int32"})


@pytest.fixture(scope="module")
def frame():
    return ratings_of()


@pytest.fixture(scope="module")
def streamed(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ratings")
    half = len(frame) // 2
    frame[:half].to_parquet(folder / "a.parquet", row_group_size=700, index=False)
    frame[half:].to_parquet(folder / "b.parquet", row_group_size=1000, index=False)
    table = ParquetTable(folder, list(NAMES.values()))
    return streaming.StreamedRatings.fit(table, NAMES, seed=3)


def encoded(frame, streamed):
    """The same rows in memory: ids by a dictionary of those with five training ratings, and the parts."""
    split, ids = splits.by_hash(frame["reader"], frame["item_id"], seed=3), {}
    for side, column in (("user", "reader"), ("item", "item_id")):
        counts = Counter(frame[column].iloc[split.train].tolist())
        known = sorted(value for value, count in counts.items() if count >= 5)
        numbers = {value: number for number, value in enumerate(known, 1)}
        ids[side] = np.array([numbers.get(value, 0) for value in frame[column].tolist()])
    return split, ids


def test_ids_parts_and_targets_are_those_in_memory(frame, streamed):
    split, ids = encoded(frame, streamed)
    assert (streamed.n_users, streamed.n_items) == (ids["user"].max() + 1, ids["item"].max() + 1)
    assert 0 < (ids["user"] == 0).sum() < len(frame) / 5
    assert 0 < (ids["item"] == 0).sum() < len(frame) / 5
    for part, rows in split._asdict().items():
        pieces = list(streamed.scan(part, part))
        for side, column in zip(("user", "item"), (0, 1), strict=True):
            np.testing.assert_array_equal(np.concatenate([piece[column] for piece in pieces]), ids[side][rows])
        np.testing.assert_allclose(np.concatenate([piece[2] for piece in pieces]), frame["score"].iloc[rows], rtol=1e-6)
    assert streamed.scale == (frame["score"].min(), frame["score"].max())
    assert streamed.mean * streamed.highest == pytest.approx(frame["score"].iloc[split.train].mean(), rel=1e-6)


def test_facts_are_counted(frame, streamed):
    facts = streamed.facts("abc")
    assert facts["rows"] == len(frame)
    assert facts["users"] == frame["reader"].nunique()
    assert facts["items"] == frame["item_id"].nunique()
    assert facts["split"] == splits.by_hash(frame["reader"], frame["item_id"], seed=3).sizes
    assert facts["rating_counts"] == {f"{score:g}": n for score, n in Counter(frame["score"]).items()}
    users, items = frame["reader"].nunique() - streamed.n_users + 1, frame["item_id"].nunique() - streamed.n_items + 1
    assert min(users, items) > 0
    assert f"id 0: of the users {users}, of the items {items}" in facts["kept"]


def test_biases_are_those_of_the_baseline_in_memory(frame, streamed):
    split, ids = encoded(frame, streamed)
    mean, biases = streaming.fit_biases(streamed)
    rows = [each[split.train] for each in (ids["user"], ids["item"], frame["score"].to_numpy())]
    tables = baselines.training_tables(*rows, streamed.n_users, streamed.n_items)
    for number, strength in enumerate(STRENGTHS):
        expected = baselines.fit_biases(tables, strength)
        assert mean == pytest.approx(expected.mean)
        for found, table in zip(biases, (expected.users, expected.items), strict=True):
            np.testing.assert_allclose(found[:, number], table[:, 0], atol=5e-3)


def test_counts_are_those_of_a_counter(monkeypatch):
    monkeypatch.setattr(streaming, "_MERGED", 50)
    rng, counts, counter = np.random.default_rng(0), streaming.Counts(), Counter()
    for _ in range(30):
        values = rng.geometric(0.02, 40) * 10**7
        counts.add(values)
        counter.update(values.tolist())
    values, many = counts.merged()
    assert dict(zip(values.tolist(), many.tolist(), strict=True)) == counter
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_errors_of_pieces_are_those_of_the_whole(offset):
    rng, errors = np.random.default_rng(0), streaming.Errors()
    true = offset + rng.normal(size=1000)
    predicted = true + rng.normal(size=1000)
    for rows in np.split(np.arange(1000), [10, 500, 503]):
        errors.add(true[rows], predicted[rows])
    assert errors.metrics() == pytest.approx(regression_metrics(true, predicted), rel=1e-9)


def test_errors_of_equal_values():
    for predicted in (2.0, 3.0):
        errors = streaming.Errors()
        errors.add(np.full(5, 2.0), np.full(5, predicted))
        assert errors.metrics() == regression_metrics(np.full(5, 2.0), np.full(5, predicted))


def wrong(frame, kind):
    frame = frame.copy()
    match kind:
        case "large id":
            return frame.astype({"reader": "int64"}).assign(
                reader=frame["reader"].astype("int64").mask(frame.index == 10, 2**31)
            )
        case "negative id":
            frame.loc[10, "reader"] = -1
        case "missing id":
            return frame.assign(item_id=frame["item_id"].astype("Int64").mask(frame.index == 10))
        case "missing rating":
            frame.loc[10, "score"] = np.nan
        case "null rating":
            return frame.assign(score=frame["score"].astype("Float32").mask(frame.index == 10))
        case "endless rating":
            frame.loc[10, "score"] = np.inf
        case "text id":
            return frame.astype({"item_id": str})
        case "id with a fraction":
            return frame.astype({"item_id": float})
        case "text rating":
            return frame.astype({"score": str})
        case "one rating":
            frame["score"] = 4.0
        case "rare ids":
            return frame.drop_duplicates("reader")
        case "few rows":
            return frame[:2]
    return frame


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "large id",
            "line 11, column 'reader': out of range; expected whole numbers from 0 to 2147483647; received 2147483648",
        ),
        (
            "negative id",
            "line 11, column 'reader': out of range; expected whole numbers from 0 to 2147483647; received -1",
        ),
        ("missing id", "line 11, column 'item_id': a value is missing"),
        ("missing rating", "line 11, column 'score': a value is missing"),
        ("null rating", "line 11, column 'score': a value is missing"),
        ("endless rating", "line 11, column 'score': out of range; expected numbers from"),
        ("text id", "column 'item_id': another type; expected whole numbers from 0 to 2147483647; received 'str'"),
        (
            "id with a fraction",
            "column 'item_id': another type; expected whole numbers from 0 to 2147483647; received 'float64'",
        ),
        ("text rating", "column 'score': another type; expected numbers from"),
        ("one rating", "column 'score': all ratings are alike"),
        ("rare ids", "column 'reader': every id is rare; expected 5 training ratings of at least one"),
        ("few rows", "no row is left for the "),
    ],
)
def test_wrong_ratings_are_refused_by_file_and_row(frame, tmp_path, kind, message):
    wrong(frame.reset_index(drop=True), kind).to_parquet(tmp_path / "t.parquet", row_group_size=8, index=False)
    with pytest.raises(DataError) as error:
        streaming.StreamedRatings.fit(ParquetTable(tmp_path / "t.parquet", list(NAMES.values())), NAMES, seed=0)
    assert str(error.value).startswith(f"{tmp_path / 't.parquet'}")
    assert message in str(error.value)
