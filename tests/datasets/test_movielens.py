"""MovieLens: what is read from every format, and what is made of it."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import movielens
from kmodels.errors import ConfigurationError, DataError

# --- what is read ---


def test_ratings_are_the_same_in_every_format(write, kind, tiny):
    data = movielens.read(write(kind))
    assert data.format == kind
    assert data.name == data.path.name
    assert data.ratings.dtypes.astype(str).to_dict() == {
        "user_id": "int64",
        "item_id": "int64",
        "rating": "float32",
        "timestamp": "int64",
    }
    expected = pd.DataFrame(tiny.ratings, columns=["user_id", "item_id", "rating", "timestamp"])
    if kind == "csv":
        expected["rating"] = [4.5, 3, 4, 0.5, 2]
    assert (data.ratings.to_numpy() == expected.to_numpy()).all()
    assert data.given_splits == {}
    bytes_of_ratings = (data.path / tiny.ratings_file[kind]).read_bytes()
    assert data.sha256 == hashlib.sha256(bytes_of_ratings).hexdigest()


def test_users(write, kind):
    users = movielens.read(write(kind)).users
    assert users["user_id"].tolist() == [1, 2, 3]
    if kind == "csv":
        assert list(users) == ["user_id"]
        return
    assert sorted(users) == ["age", "gender", "occupation", "user_id", "zip_code"]
    assert users["gender"].tolist() == ["F", "M", "M"]
    assert users["age"].dtype == np.int64
    if kind == "ml-1m":
        assert users["age"].tolist() == [1, 56, 25]
        assert users["occupation"].tolist() == ["K-12 student", "self-employed", "other"]
        assert users["zip_code"].tolist() == ["48067", "70072-1234", "00123"]
    else:
        assert users["age"].tolist() == [24, 53, 33]
        assert users["occupation"].tolist() == ["technician", "other", "writer"]
        assert users["zip_code"].tolist() == ["85711", "94043", "T8H1N"]


@pytest.mark.parametrize(
    ("kind", "titles", "years", "genres"),
    [
        (
            "ml-1m",
            [
                "Toy Story (1995)",
                "Misérables, Les (1998)",
                "Star Wars: Episode IV - A New Hope (1977)",
                "Nameless",
            ],
            [1995, 1998, 1977, None],
            ["Animation|Children's|Comedy", "Drama", "Action|Sci-Fi", ""],
        ),
        (
            "ml-100k",
            ["Toy Story (1995)", "Misérables, Les", "Star Wars (1977)", "unknown"],
            [1995, 1998, 1977, None],
            ["Animation|Comedy", "Drama", "Action|Sci-Fi", ""],
        ),
        (
            "csv",
            ["Toy Story (1995)", "Misérables, Les (1998)", 'Say "Hi" (2006–2007)', "Babylon 5"],
            [1995, 1998, 2006, None],
            ["Adventure|Animation|Children", "Drama|IMAX", "Film-Noir", ""],
        ),
        (
            "recbole",
            ["Toy Story", "Misérables, Les", "Star Wars (1977)", "unkonwn"],
            [1995, 1998, 1977, None],
            ["Animation|Children's|Comedy", "Drama", "Action|Sci-Fi", ""],
        ),
    ],
)
def test_items(write, kind, titles, years, genres):
    items = movielens.read(write(kind)).items
    assert list(items) == ["item_id", "title", "year", "genres"]
    assert items["item_id"].tolist() == [10, 20, 30, 40]
    assert items["title"].tolist() == titles
    assert str(items["year"].dtype) == "Int64"
    assert [None if pd.isna(year) else year for year in items["year"]] == years
    assert items["genres"].tolist() == genres


def test_line_ends_byte_order_mark_and_missing_last_newline(write, kind, tiny):
    plain = movielens.read(write(kind))
    for change in (
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
    ):
        changed = movielens.read(write(kind, {name: change(text) for name, text in tiny.files[kind].items()}))
        for table in ("ratings", "users", "items"):
            pd.testing.assert_frame_equal(getattr(changed, table), getattr(plain, table))
    marked = movielens.read(write(kind, {n: b"\xef\xbb\xbf" + t.encode() for n, t in tiny.files[kind].items()}))
    assert marked.items["title"].tolist() == plain.items["title"].tolist()


def test_old_formats_are_read_as_utf_8_where_they_have_been_converted(write, tiny):
    folder = write("ml-1m", {"movies.dat": tiny.files["ml-1m"]["movies.dat"].encode("utf-8")})
    assert movielens.read(folder).items["title"][1] == "Misérables, Les (1998)"


def test_recbole_occupation_codes_and_genre_column(write, tiny):
    users = tiny.files["recbole"]["x.user"].replace("technician", "17").replace("other", "0").replace("writer", "20")
    items = tiny.files["recbole"]["x.item"].replace("class:", "genre:").replace("\tunknown", "\t(no genres listed)")
    data = movielens.read(write("recbole", {"x.user": users, "x.item": items}))
    assert data.users["occupation"].tolist() == ["technician/engineer", "other", "writer"]
    assert data.items["genres"][3] == ""


def test_a_folder_inside_an_unpacked_archive(write, tmp_path, tiny):
    folder = write("csv")
    inner = folder / "ml-latest-small"
    inner.mkdir()
    for name in tiny.files["csv"]:
        (folder / name).rename(inner / name)
    (folder / "__MACOSX").mkdir()
    data = movielens.read(str(folder))
    assert data.path == inner
    assert data.name == "ml-latest-small"


def test_names_of_the_readmes():
    assert len(movielens.OCCUPATIONS) == 21
    assert movielens.OCCUPATIONS[4] == "college/grad student"
    assert len(movielens.GENRES) == 20
    assert list(movielens.GENRES) == sorted(movielens.GENRES)


# --- filter, time, load ---


def random_data(seed, n_users=60, n_items=50, n=900):
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 1.2, n_users)[:, None] * rng.lognormal(0, 1.2, n_items)
    pick = rng.choice(n_users * n_items, n, replace=False, p=(weight / weight.sum()).ravel())
    ratings = pd.DataFrame(
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
    return movielens.MovieLens("x", "csv", Path("x"), "0", ratings, users, items, masks)


@pytest.mark.parametrize("least", [1, 2, 5, 9])
def test_filter_is_the_k_core(least):
    data = random_data(least)
    kept = movielens.filter_ratings(data, least)
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


def test_filter_default_and_refusals():
    data = random_data(3)
    assert len(movielens.filter_ratings(data).ratings) == len(movielens.filter_ratings(data, 5).ratings)
    with pytest.raises(ConfigurationError, match="min_ratings must be 1 or more; received 0"):
        movielens.filter_ratings(data, 0)
    with pytest.raises(DataError, match="no user and film have 1000 ratings each"):
        movielens.filter_ratings(data, 1000)


def test_time_features_agree_with_pandas():
    stamps = np.random.default_rng(0).integers(-(10**9), 2**32, 2000)
    stamps[:4] = [0, 951_782_399, 951_782_400, 978_307_199]  # around 29 February 2000 and New Year 2001
    dates = pd.to_datetime(pd.Series(stamps), unit="s", utc=True).dt
    found = movielens.time_features(pd.Series(stamps, index=stamps))
    assert list(found) == ["year", "month", "day_of_week"]
    assert (found.dtypes == np.int64).all()
    assert found["year"].tolist() == dates.year.tolist()
    assert found["month"].tolist() == dates.month.tolist()
    assert found["day_of_week"].tolist() == dates.day_of_week.tolist()


def test_load_the_sample():
    data = movielens.load("sample")
    assert (data.name, data.format) == ("sample", "ml-1m")
    assert (len(data.ratings), len(data.users), len(data.items)) == (50_807, 600, 360)
    assert set(data.users["age"]) == {1, 18, 25, 35, 45, 50, 56}


def test_load_says_that_an_installed_package_has_no_sample(monkeypatch, tmp_path):
    monkeypatch.setattr(movielens, "_SAMPLE", tmp_path / "absent")
    with pytest.raises(DataError, match="comes with a checkout of kmodels"):
        movielens.load("sample")


def test_load_a_path_or_nothing_known(write):
    folder = write("ml-100k")
    assert movielens.load(folder).name == movielens.load(str(folder)).name == folder.name
    with pytest.raises(ConfigurationError, match=r"unknown data source 'ml-2m'.*sample, ml-100k, ml-1m, ml-25m"):
        movielens.load("ml-2m")


def test_summary_counts_what_the_tables_hold():
    data = random_data(2)
    summary = movielens.summary(data)
    assert summary["rows"] == len(data.ratings) == sum(summary["rating_counts"].values())
    assert (summary["users"], summary["items"]) == (len(data.users), len(data.items))
    counted = Counter(f"{stars:g}" for stars in data.ratings["rating"])
    assert summary["rating_counts"] == dict(counted)
    assert list(summary["rating_counts"]) == sorted(counted, key=float)
