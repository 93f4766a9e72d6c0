"""Ratings of anything, read from tables of any column names, ids and scale."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import ratings, readers
from kmodels.errors import ConfigurationError, DataError

COLUMNS = {"user_id": "reader", "item_id": "isbn", "rating": "score"}
TABLE = "isbn,reader,score,note\n0-19,ann,8,a\n0-20,ann,2.5,b\n0-19,ben,10,c\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="books.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_columns_are_mapped_and_the_rest_is_not_read(write):
    path = write(TABLE)
    data = ratings.read(path, COLUMNS)
    expected = pd.DataFrame({"user_id": ["ann", "ann", "ben"], "item_id": ["0-19", "0-20", "0-19"]})
    pd.testing.assert_frame_equal(
        data.ratings, expected.assign(rating=np.array([8, 2.5, 10], "float32")), check_dtype=False
    )
    assert data.ratings["rating"].dtype == "float32"
    assert (data.scale, data.has_times, data.name, data.format) == ((2.5, 10.0), False, "books", "table")
    assert data.users["user_id"].tolist() == ["ann", "ben"]
    assert data.items["item_id"].tolist() == ["0-19", "0-20"]
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert ratings.read(path, COLUMNS, scale=(1, 10)).scale == (1, 10)


@pytest.mark.parametrize(("ids", "kind"), [("7,12,7", "i"), ("07,12,07", "O"), ("7,x,7", "O"), ("1.0,2,1.0", "O")])
def test_ids_are_integers_only_where_that_loses_nothing(write, ids, kind):
    rows = "".join(f"{user},{item},{item}\n" for item, user in enumerate(ids.split(",")))
    found = ratings.read(write("user_id,item_id,rating\n" + rows)).ratings["user_id"]
    assert found.astype(str).tolist() == ids.split(",")
    assert (found.dtype.kind == "i") == (kind == "i")


@pytest.mark.parametrize(
    "times",
    ["978300760,0", "978300760000,0", "2000-12-31T22:12:40Z,1970-01-01", "2000-12-31 23:12:40+01:00,1970-01-01T00:00Z"],
)
def test_times_are_seconds_whatever_their_form(write, times):
    first, second = times.split(",")
    text = f"user_id,item_id,rating,at\n1,1,1,{first}\n1,2,2,{second}\n"
    data = ratings.read(write(text), {"timestamp": "at"})
    assert data.ratings["timestamp"].tolist() == [978300760, 0]
    assert data.ratings["timestamp"].dtype == np.int64


def test_side_tables_are_joined_by_id_and_gaps_are_missing(write):
    items = write('genre,isbn,pages\n"a|b",0-20,310\nc,9-99,\n', "items.csv")
    users = write("user_id,age\nben,33\nann,\n", "users.csv")
    data = ratings.read(write(TABLE), COLUMNS, users=users, items=items)
    assert data.items["item_id"].tolist() == ["0-19", "0-20"]
    assert data.items["genre"].fillna("-").tolist() == ["-", "a|b"]
    np.testing.assert_array_equal(data.items["pages"], [np.nan, 310])
    np.testing.assert_array_equal(data.users["age"], [np.nan, 33])


def test_ids_of_a_side_table_follow_those_of_the_ratings(write):
    text = "user_id,item_id,rating\n07,1,1\n8,1,2\n"
    data = ratings.read(write(text), users=write("user_id,age\n8,50\n9,20\n", "users.csv"))
    np.testing.assert_array_equal(data.users["age"], [np.nan, 50])


def test_parquet_gives_the_same_as_csv(write, tmp_path):
    pytest.importorskip("pyarrow")
    csv = ratings.read(write(TABLE), COLUMNS)
    pd.read_csv(write(TABLE)).to_parquet(tmp_path / "books.parquet")
    pd.testing.assert_frame_equal(ratings.read(tmp_path / "books.parquet", COLUMNS).ratings, csv.ratings)


def test_many_blocks_are_one_table(write, monkeypatch):
    rng = np.random.default_rng(0)
    pairs = rng.permutation(900)[:300]
    frame = pd.DataFrame({"user_id": [f"u{p // 30}" for p in pairs], "item_id": pairs % 30, "rating": pairs % 7})
    monkeypatch.setattr(readers, "BLOCK_BYTES", 100)
    found = ratings.read(write(frame.to_csv(index=False))).ratings
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "isbn,reader,scores\n1,a,2\n",
            "column 'score': .*no such column for 'rating'; the nearest is 'scores'; expected one of isbn",
        ),
        ("isbn,reader,score\n1,a,2\n2,a,good\n", r"line 3, column 'score': not a number; .* received 'good'"),
        ("isbn,reader,score\n1,a,2\n2,a,\n", "line 3, column 'score': the field is empty"),
        ('isbn,reader,score\n1,a,2\n"x\ny",b,3\n2, ,3\n', "line 5, column 'reader': the field is empty"),
        ("isbn,reader,score\n1,a,2\n2,a,inf\n", "line 3, column 'score': not a number"),
        ("isbn,reader,score\n1,a,2\n2,a,3\n1,a,4\n", "line 4: user a rates item 1 twice, on lines 2 and 4"),
        ("isbn,reader,score\n1,a,2\n2,a\n", "line 3: the line has 2 fields"),
        ("isbn,reader,score\n1,a,3\n2,a,3\n", "column 'score': all ratings are alike; received 3"),
        ("isbn,reader,score,timestamp\n1,a,3,2020-01-01\n2,a,4,soon\n", "line 3, column 'timestamp': not a time"),
        ("isbn,reader,score,timestamp\n1,a,3,9\n2,a,4,soon\n", "line 3, column 'timestamp': not a number"),
        ("", "the file is empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write, text, message):
    with pytest.raises(DataError, match=message):
        ratings.read(write(text), COLUMNS)


def test_bad_side_tables_and_maps_are_refused(write):
    path = write(TABLE)
    with pytest.raises(
        DataError,
        match=r"users.csv, line 4, column 'reader': reader ann is already on line 2",
    ):
        ratings.read(path, COLUMNS, users=write("reader,age\nann,1\nben,2\nann,3\n", "users.csv"))
    with pytest.raises(DataError, match=r"items.csv: the required column 'item_id' is missing"):
        ratings.read(path, COLUMNS, items=write("book,pages\n0-19,1\n", "items.csv"))
    with pytest.raises(ConfigurationError, match="'score'"):
        ratings.read(path, {"score": "rating"})
    with pytest.raises(DataError, match="the file is missing"):
        ratings.read(path.with_name("missing.csv"), COLUMNS)


# --- what is made of the tables ---


def random_data(seed, n_users=60, n_items=50, n=900):
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 1.2, n_users)[:, None] * rng.lognormal(0, 1.2, n_items)
    pick = rng.choice(n_users * n_items, n, replace=False, p=(weight / weight.sum()).ravel())
    table = pd.DataFrame(
        {
            "user_id": pick // n_items * 7 + 3,
            "item_id": pick % n_items * 11 + 5,
            "rating": rng.integers(1, 6, n).astype(np.float32),
            "timestamp": rng.integers(0, 10**9, n),
        }
    )
    users = pd.DataFrame({"user_id": np.arange(n_users)[::-1] * 7 + 3})
    items = pd.DataFrame({"item_id": np.arange(n_items) * 11 + 5, "title": "x", "genres": ""})
    masks = {"u1": rng.random(n) < 0.2}
    return ratings.RatingTables("x", "csv", Path("x"), "0", table, users, items, (1.0, 5.0), masks)


@pytest.mark.parametrize("least", [1, 2, 5, 9])
def test_filter_is_the_k_core(least):
    data = random_data(least)
    kept = ratings.filter_ratings(data, least)
    # The k-core by the book: drop one row of one offender at a time until there is none.
    left = {(row.user_id, row.item_id) for row in data.ratings.itertuples()}
    while True:
        users, items = (Counter(pair[side] for pair in left) for side in (0, 1))
        few = {pair for pair in left if users[pair[0]] < least or items[pair[1]] < least}
        if not few:
            break
        left.remove(min(few))
    assert set(zip(kept.ratings["user_id"], kept.ratings["item_id"], strict=True)) == left
    assert left
    assert least == 1 or len(left) < len(data.ratings)
    assert set(kept.users["user_id"]) == {user for user, _ in left}
    assert set(kept.items["item_id"]) == {item for _, item in left}
    # Tables and masks follow, in their old order.
    keys = data.ratings.assign(test=data.given_splits["u1"]).merge(kept.ratings, how="inner")
    pd.testing.assert_frame_equal(keys[list(kept.ratings)], kept.ratings)
    assert keys["test"].tolist() == kept.given_splits["u1"].tolist()
    assert kept.users["user_id"].is_monotonic_decreasing
    assert kept.sha256 == data.sha256


@pytest.mark.parametrize("least", [1, 5, 9])
def test_filter_keeps_and_does_not_count_the_test_rows_of_a_given_split(least):
    data = random_data(least)
    kept, test = ratings.filter_ratings(data, least, given="u1"), data.given_splits["u1"]
    rest = replace(data, ratings=data.ratings[~test].reset_index(drop=True), given_splits={})
    mask = kept.given_splits["u1"]
    pd.testing.assert_frame_equal(
        kept.ratings[~mask].reset_index(drop=True), ratings.filter_ratings(rest, least).ratings
    )
    pd.testing.assert_frame_equal(kept.ratings[mask].reset_index(drop=True), data.ratings[test].reset_index(drop=True))
    for name, table in (("user_id", kept.users), ("item_id", kept.items)):
        assert set(table[name]) == set(kept.ratings[name])


def test_filter_default_and_refusals():
    data = random_data(3)
    assert len(ratings.filter_ratings(data).ratings) == len(ratings.filter_ratings(data, 5).ratings)
    with pytest.raises(ConfigurationError, match="min_ratings must be 1 or more; received 0"):
        ratings.filter_ratings(data, 0)
    with pytest.raises(DataError, match="no user and item have 1000 ratings each"):
        ratings.filter_ratings(data, 1000)
    with pytest.raises(ConfigurationError, match="the data has no split u2; it has u1"):
        ratings.filter_ratings(data, given="u2")


def test_summary_counts_what_the_tables_hold():
    data = random_data(2)
    summary = ratings.summary(data)
    assert summary["rows"] == len(data.ratings) == sum(summary["rating_counts"].values())
    assert (summary["users"], summary["items"]) == (len(data.users), len(data.items))
    counted = Counter(f"{stars:g}" for stars in data.ratings["rating"])
    assert summary["rating_counts"] == dict(counted)
    assert list(summary["rating_counts"]) == sorted(counted, key=float)


def test_the_checksum_covers_side_tables(write):
    path, users = write(TABLE), write("reader,age\nann,1\nben,2\n", "users.csv")
    first = ratings.read(path, COLUMNS, users=users).sha256
    write("reader,age\nann,1\nben,3\n", "users.csv")
    assert len({first, ratings.read(path, COLUMNS, users=users).sha256, ratings.read(path, COLUMNS).sha256}) == 3


def test_a_side_table_keeps_numbers_that_no_float_can_hold_from_becoming_others(write):
    with pytest.raises(DataError, match=r"users\.csv, line 3, column 'age': out of range"):
        ratings.read(write(TABLE), COLUMNS, users=write("reader,age\nann,1\nben,1e400\n", "users.csv"))


@pytest.mark.parametrize(
    ("score", "time", "column"),
    [("1e39", "9", "score"), ("123456789", "9", "score"), ("3", "1e300", "timestamp")],
)
def test_what_the_tables_dtypes_cannot_hold_is_refused(write, score, time, column):
    text = f"isbn,reader,score,timestamp\n1,a,2,5\n2,a,{score},{time}\n"
    with pytest.raises(DataError, match=f"line 3, column '{column}': out of range"):
        ratings.read(write(text), COLUMNS)


@pytest.mark.parametrize("digits", ["٢٠٢٠-٠١-٠١", "2020-13-01", "0000-00-00"])
def test_dates_that_are_none_are_refused(write, digits):
    text = f"isbn,reader,score,timestamp\n1,a,2,2020-01-01\n2,a,3,{digits}\n"
    with pytest.raises(DataError, match="line 3, column 'timestamp': not a time"):
        ratings.read(write(text), COLUMNS)


def test_one_damaged_time_does_not_make_all_milliseconds(write):
    rows = "".join(f"{number},a,{number % 3},97830076{number}\n" for number in range(5))
    with pytest.raises(DataError, match="line 5, column 'timestamp': seconds and milliseconds are mixed; expected sec"):
        ratings.read(write("isbn,reader,score,timestamp\n" + rows.replace("978300763", "9783007631111")), COLUMNS)


def test_an_id_that_is_no_number_leaves_the_others_of_a_side_table(write):
    path = write("isbn,reader,score\n1,7,2\n2,8,3\n")
    data = ratings.read(path, COLUMNS, users=write("reader,age\nx,1\n8,2\n", "users.csv"))
    assert data.users["user_id"].tolist() == [7, 8]
    np.testing.assert_array_equal(data.users["age"], [np.nan, 2])


def test_a_side_table_with_two_columns_of_ids_is_refused(write):
    users = write("reader,user_id\nann,ben\nben,ann\n", "users.csv")
    with pytest.raises(DataError, match=r"two columns may be the id; .* received 'reader, user_id'"):
        ratings.read(write(TABLE), COLUMNS, users=users)
