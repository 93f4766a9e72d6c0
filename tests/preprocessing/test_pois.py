"""Points of interest as arrays: by hand and by scikit-learn, fitted on training rows alone, and reloadable."""

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import MultiLabelBinarizer, OneHotEncoder, StandardScaler

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import pois
from kmodels.preprocessing.encoders import load_encoders, save_encoders

CATEGORIES = [f"c{number:02d}" for number in range(12)]
TRAIN = np.arange(0, 200, 2)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 200
    towns = np.array([[0, 0], [0, 5], [5, 0], [6, 6]])[rng.integers(0, 4, n)]
    has = rng.random((n, 12)) < 0.3
    return pd.DataFrame(
        {
            "categories": [tuple(np.array(CATEGORIES)[row].tolist()) for row in has],
            "tags": [tuple("t" * k for k in range(1, 1 + count)) for count in rng.integers(0, 14, n).tolist()],
            "tier": rng.integers(1, 5, n),
            "longitude": towns[:, 0] + rng.normal(0, 0.3, n),
            "latitude": towns[:, 1] + rng.normal(0, 0.3, n),
            "xps": rng.integers(0, 1001, n).astype(float),
            "visits": rng.integers(10_001, 10_039, n),
            "likes": rng.integers(100, 26_426, n),
            "dislikes": rng.integers(52, 11_000, n),
            "bookmarks": rng.integers(50, 8158, n),
        },
        index=rng.permutation(n),
    )


def test_the_22_columns(table):
    encoded = pois.encode_pois(table, TRAIN)
    assert encoded.metadata.dtype == np.float32
    seen = table.iloc[TRAIN]
    binarizer = MultiLabelBinarizer().fit(seen["categories"])
    tiers = OneHotEncoder(categories=[[1, 2, 3, 4]], sparse_output=False).fit_transform(table[["tier"]].to_numpy())
    kmeans = KMeans(4, n_init=10, random_state=0).fit(seen[["longitude", "latitude"]].to_numpy())
    order = sorted(range(4), key=lambda k: kmeans.cluster_centers_[k].tolist())
    clusters = np.eye(4)[np.argsort(order)[kmeans.predict(table[["longitude", "latitude"]].to_numpy())]]
    numbers = np.column_stack([np.log(1 + table["xps"]), [len(tags) for tags in table["tags"]]])
    numbers = StandardScaler().fit(numbers[TRAIN]).transform(numbers)
    expected = np.hstack([binarizer.transform(table["categories"]), tiers, clusters, numbers])
    assert expected.shape == encoded.metadata.shape == (200, 22)
    assert np.allclose(encoded.metadata, expected, atol=1e-6)
    assert encoded.columns[:2] == ("category c00", "category c01")
    assert encoded.columns[12:] == (
        *("tier 1", "tier 2", "tier 3", "tier 4", "cluster 1", "cluster 2", "cluster 3", "cluster 4"),
        *("log xps", "tag count"),
    )
    assert encoded.groups == {
        "categories": slice(0, 12),
        "tier": slice(12, 16),
        "location": slice(16, 20),
        "xps": slice(20, 21),
        "tags": slice(21, 22),
    }


def test_engagement_by_hand(table):
    for row, (volume, ratios, weighted) in zip(
        table.itertuples(), zip(*(metric(table) for metric in pois.ENGAGEMENT.values()), strict=True), strict=True
    ):
        v, likes, dislikes, marks = row.visits, row.likes, row.dislikes, row.bookmarks
        assert volume == pytest.approx((likes + dislikes + marks) / v * 100)
        assert ratios == pytest.approx(likes / (v + 1e-8) + marks / (v + 1e-8) - dislikes / (likes + marks + 1e-8))
        assert weighted == pytest.approx(0.0001 * v + 0.005 * likes + 0.01 * marks - 0.01 * dislikes)


@pytest.mark.parametrize("engagement", ["volume", "ratios", "weighted"])
def test_target_is_the_tercile_of_the_training_rows(table, engagement):
    encoded = pois.encode_pois(table, TRAIN, engagement=engagement)
    score = pois.ENGAGEMENT[engagement](table)
    low, high = np.quantile(score[TRAIN], [1 / 3, 2 / 3])
    assert encoded.target.dtype == np.int32
    assert encoded.target.tolist() == [0 if s <= low else 1 if s <= high else 2 for s in score]
    assert np.ptp(np.bincount(encoded.target[TRAIN])) <= 1
    assert encoded.labels == ("low", "medium", "high")
    assert np.array_equal(pois.encode_target(table, encoded.encoders), encoded.target)


def test_no_engagement_and_no_visits():
    zero = pd.DataFrame({"visits": [0], "likes": [0], "dislikes": [0], "bookmarks": [0]})
    assert pois.engagement_by_ratios(zero).tolist() == [0]
    with pytest.raises(DataError, match="row 1, column 'visits': no visits to divide by"):
        pois.engagement_by_volume(zero)


def test_other_rows_change_nothing_that_is_fitted(table):
    other = table.copy()
    rest = np.setdiff1d(np.arange(len(table)), TRAIN)
    for column in ("longitude", "latitude", "xps", "likes"):
        values = other[column].to_numpy().copy()
        values[rest] = values[rest[::-1]] * 3
        other[column] = values
    other["tags"] = [(*tags, "x", "y") if row in set(rest.tolist()) else tags for row, tags in enumerate(other["tags"])]
    first, second = pois.encode_pois(table, TRAIN), pois.encode_pois(other, TRAIN)
    assert first.encoders == second.encoders
    assert np.array_equal(first.metadata[TRAIN], second.metadata[TRAIN])
    assert np.array_equal(first.target[TRAIN], second.target[TRAIN])


@pytest.mark.parametrize("clusters", [1, 3, 5])
def test_number_of_clusters(table, clusters):
    encoded = pois.encode_pois(table, TRAIN, clusters=clusters)
    assert encoded.metadata.shape[1] == len(encoded.columns) == 18 + clusters
    assert (encoded.metadata[:, encoded.groups["location"]].sum(axis=1) == 1).all()
    assert np.isfinite(encoded.metadata).all()


def test_reloaded_encoders_encode_new_rows_alike(table, tmp_path):
    encoded = pois.encode_pois(table, TRAIN, engagement="weighted")
    save_encoders(encoded.encoders, tmp_path / "encoders.json")
    loaded = load_encoders(tmp_path / "encoders.json")
    assert loaded == encoded.encoders
    needed = table[["xps", "tags", "categories", "latitude", "longitude", "tier"]]
    assert np.array_equal(pois.encode_metadata(needed, loaded), encoded.metadata)
    assert np.array_equal(pois.encode_metadata(needed.iloc[[7]], loaded), encoded.metadata[[7]])
    assert pois.encode_metadata(needed.iloc[:0], loaded).shape == (0, 22)
    assert np.array_equal(pois.encode_target(table, loaded), encoded.target)
    assert pois.metadata_columns(loaded) == encoded.columns
    assert pois.metadata_groups(loaded) == encoded.groups


def test_an_unknown_category(table):
    encoders = pois.encode_pois(table, TRAIN).encoders
    new = table.iloc[:3].assign(categories=[("c01",), ("c02", "c99"), ()])
    with pytest.raises(DataError, match=r"row 2, column 'categories': unknown category; expected c00, c01, .*'c99'"):
        pois.encode_metadata(new, encoders)
    ignored = pois.encode_metadata(new, encoders, unknown_category="ignore")
    assert ignored[:, :12].sum(axis=1).tolist() == [1, 1, 0]
    assert ignored[1, 2] == 1
    with pytest.raises(ConfigurationError, match="'error' or 'ignore'; received 'skip'"):
        pois.encode_metadata(new, encoders, unknown_category="skip")


def test_a_category_of_test_rows_alone(table):
    rare = table.assign(categories=[("rare",) if row == 1 else old for row, old in enumerate(table["categories"])])
    with pytest.raises(DataError, match=r"row 2, .*unknown category.*'rare'"):
        pois.encode_pois(rare, TRAIN)
    assert pois.encode_pois(rare, TRAIN, unknown_category="ignore").metadata[1, :12].sum() == 0


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("tier", 5, "column 'tier': missing or out of range; expected a number from 1 to 4; received 5"),
        ("tier", 2.5, "unknown tier; expected 1, 2, 3 or 4; received 2.5"),
        ("tier", None, "column 'tier': missing or out of range"),
        ("tier", "gold", "not a column of numbers"),
        ("longitude", 181, "expected a number from -180 to 180; received 181"),
        ("latitude", float("nan"), "column 'latitude': missing or out of range"),
        ("xps", -2, "column 'xps': missing or out of range; expected a number from 0; received -2"),
        ("xps", float("inf"), "column 'xps'"),
        ("categories", "c01", "row 3, column 'categories': not a list of text; received 'c01'"),
        ("categories", None, "not a list of text"),
        ("tags", (1,), "column 'tags': not a list of text"),
    ],
)
def test_a_wrong_value_of_a_new_row(table, column, value, words):
    encoders = pois.encode_pois(table, TRAIN).encoders
    new = table.iloc[:4].assign(**{column: table[column].iloc[:4].astype(object)}).reset_index(drop=True)
    new[column] = pd.Series([value if row == 2 else old for row, old in enumerate(new[column])], dtype=object)
    with pytest.raises(DataError) as error:
        pois.encode_metadata(new, encoders)
    assert words in str(error.value)


@pytest.mark.parametrize("column", ["categories", "tags", "tier", "longitude", "latitude", "xps", "visits", "likes"])
def test_a_missing_column(table, column):
    with pytest.raises(DataError, match=f"column '{column}': the column is missing"):
        pois.encode_pois(table.drop(columns=column), TRAIN)


def test_negative_counts(table):
    with pytest.raises(DataError, match="row 1, column 'likes': missing or out of range; expected a number from 0"):
        pois.engagement_by_weights(table.assign(likes=-1))


def test_encoders_of_something_else(table):
    encoders = pois.encode_pois(table, TRAIN).encoders
    with pytest.raises(DataError, match="not those of points of interest; expected categories, clusters, numbers"):
        pois.encode_metadata(table, {"categories": encoders["categories"]})
    with pytest.raises(DataError, match="the encoder of engagement is missing"):
        pois.encode_target(table, {"categories": encoders["categories"]})


def test_settings_are_checked(table):
    with pytest.raises(ConfigurationError, match="expected one of volume, ratios, weighted; received 'likes'"):
        pois.encode_pois(table, TRAIN, engagement="likes")
    with pytest.raises(ConfigurationError, match="clusters must be 1 or more"):
        pois.encode_pois(table, TRAIN, clusters=0)
    with pytest.raises(DataError, match="no training row"):
        pois.encode_pois(table, TRAIN[:0])
    with pytest.raises(DataError, match="too many values are equal"):
        pois.encode_pois(table.assign(visits=1, likes=1, dislikes=1, bookmarks=1), TRAIN)
