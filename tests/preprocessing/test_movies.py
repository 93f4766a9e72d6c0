import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from kmodels.errors import ConfigurationError, DataError
from kmodels.features import MultiHot, Numeric
from kmodels.preprocessing import movies
from kmodels.preprocessing.target_encoding import TargetEncoder

RNG = np.random.default_rng(0)
N = 60
TABLE = pd.DataFrame(
    {
        "budget": 10 ** RNG.normal(7, 1, N),
        "runtime": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(110, 20, N)),
        "genres": [("Drama",) if i % 3 else ("Drama", "War") if i % 2 else () for i in range(N)],
        "director": [f"d{i % 7}" if i % 5 else "" for i in range(N)],
        "rating": RNG.uniform(1, 10, N),
        "votes": RNG.integers(0, 1000, N).astype(float),
    }
)
TABLE.at[N - 1, "genres"] = ("Western", "War")
TARGET = RNG.integers(0, 2, N)
TRAIN = np.arange(40)


def test_features_and_arrays_go_together():
    encoded = movies.encode_movies(TABLE, TARGET, TRAIN)
    assert encoded.features == (Numeric("numbers", 5), MultiHot("genres", 2), MultiHot("missing", 3))
    for feature in encoded.features:
        array = encoded.arrays[feature.name]
        assert array.dtype == np.float32
        assert array.shape == (N, feature.size)
    assert list(encoded.frame.columns) == [
        "budget",
        "budget_log",
        "runtime",
        "director_share",
        "director_films_log",
        "genre_Drama",
        "genre_War",
        "missing_runtime",
        "missing_genres",
        "missing_director",
    ]


def test_numbers_are_standardised_by_the_training_rows():
    encoded = movies.encode_movies(TABLE, TARGET, TRAIN)
    frame = encoded.frame
    np.testing.assert_allclose(frame["budget_log"], np.log1p(TABLE["budget"]), rtol=1e-6)
    median = TABLE["runtime"].iloc[:40].median()
    np.testing.assert_allclose(frame["runtime"], TABLE["runtime"].fillna(median), rtol=1e-6)
    numbers = frame.iloc[:, :5].to_numpy()
    expected = StandardScaler().fit(numbers[:40]).transform(numbers)
    np.testing.assert_allclose(encoded.arrays["numbers"], expected, atol=1e-4)
    np.testing.assert_array_equal(encoded.arrays["missing"][:, 0], TABLE["runtime"].isna())
    np.testing.assert_array_equal(encoded.arrays["missing"][:, 2], TABLE["director"] == "")


def test_genres_that_training_did_not_show_are_left_out():
    encoded = movies.encode_movies(TABLE, TARGET, TRAIN)
    assert encoded.encoders["genres"].labels == ("Drama", "War")
    assert encoded.arrays["genres"][N - 1].tolist() == [0, 1]


def test_directors_of_new_rows_are_encoded_by_all_training_rows():
    encoded = movies.encode_movies(TABLE, TARGET, TRAIN, smoothing=4)
    encoder = TargetEncoder.fit(TABLE["director"].iloc[:40], TARGET[:40], smoothing=4)
    assert encoded.encoders["director"] == encoder
    found = encoded.frame[["director_share", "director_films_log"]].to_numpy()
    expected = encoder.transform(TABLE["director"])
    np.testing.assert_allclose(found[40:], np.column_stack([expected[40:, 0], np.log1p(expected[40:, 1])]), rtol=1e-6)
    assert not np.allclose(found[:40, 0], expected[:40, 0])


def test_neither_a_rows_own_target_nor_any_later_row_reaches_it():
    before = movies.encode_movies(TABLE, TARGET, TRAIN)
    target = TARGET.copy()
    target[7] = 1 - target[7]
    target[40:] = 1 - target[40:]
    table = TABLE.copy()
    table.loc[40:, "budget"] *= 1000
    after = movies.encode_movies(table, target, TRAIN)
    assert after.frame.iloc[7].to_list() == before.frame.iloc[7].to_list()
    changed = before.encoders["numbers"].mean[3] != after.encoders["numbers"].mean[3]
    assert changed  # the shares of row 7's director, in other rows
    assert before.encoders["numbers"].mean[:3] == after.encoders["numbers"].mean[:3]


def test_columns_known_after_release_are_used_when_named():
    encoded = movies.encode_movies(TABLE, TARGET, TRAIN, inputs=("votes", "rating"))
    assert list(encoded.frame.columns) == ["rating", "votes_log", "missing_rating", "missing_votes"]
    np.testing.assert_allclose(encoded.frame["votes_log"], np.log1p(TABLE["votes"]))


def test_unscaled_numbers_are_the_tables_own():
    encoded = movies.encode_movies(TABLE, TARGET, TRAIN, inputs=("budget", "runtime"), scaled=False)
    expected = TABLE[["budget", "runtime"]].fillna(0).to_numpy()
    np.testing.assert_allclose(encoded.arrays["numbers"], expected, rtol=1e-6)
    assert "numbers" not in encoded.encoders


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inputs": ("budget", "revenue")}, ConfigurationError, "'revenue' contains the target"),
        ({"inputs": ("profit",)}, ConfigurationError, "'profit' contains the target"),
        ({"inputs": ("title",)}, ConfigurationError, "inputs are chosen from.*'title'"),
        ({"inputs": ()}, ConfigurationError, "no input is chosen"),
        ({"train": np.array([], np.int64)}, DataError, "no training row"),
        ({"table": TABLE.drop(columns="runtime")}, DataError, "column 'runtime': the table has no such column"),
        ({"table": TABLE.assign(runtime=np.nan)}, DataError, "column 'runtime': no training row has a value"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        movies.encode_movies(**{"table": TABLE, "target": TARGET, "train": TRAIN, **arguments})
