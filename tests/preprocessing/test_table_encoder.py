"""TableEncoder and Target against scikit-learn and hand-computed cases; bad tables; JSON that reloads identically."""

import decimal
import json
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import MultiLabelBinarizer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from kmodels.errors import ConfigurationError, DataError
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.preprocessing import (
    Category,
    Clusters,
    Date,
    Id,
    Number,
    TableEncoder,
    Tags,
    Target,
    TargetMean,
    Vocabulary,
    encode_table,
    load_encoders,
    save_encoders,
    splits,
)


def table(rows=200, seed=0):
    """Every kind of column, with gaps in all but `price` and `user`."""
    rng = np.random.default_rng(seed)
    gap = lambda values, share=0.1: pd.Series(values, dtype=object).mask(pd.Series(rng.random(rows) < share))  # noqa: E731
    labels = np.array(["red", "green", "blue", "grey"])
    return pd.DataFrame(
        {
            "price": rng.lognormal(3, 1, rows),
            "weight": pd.to_numeric(gap(rng.normal(50, 9, rows))),
            "city": gap(rng.choice(["Oslo", "Rome", "Bonn"], rows)),
            "class": pd.to_numeric(gap(rng.integers(1, 5, rows))),
            "open": rng.random(rows) < 0.4,
            "sold": pd.to_datetime(gap(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D"))),
            "tags": gap(["|".join(rng.choice(labels, n, replace=False)) for n in rng.integers(0, 4, rows)]),
            "user": rng.integers(0, 30, rows),
            "maker": gap(rng.choice(list("abcdefgh"), rows)),
            "x": rng.normal(size=rows),
            "y": rng.normal(size=rows),
        }
    )


KINDS = {
    "price": Number(log=True),
    "user": Id(),
    "tags": Tags("|"),
    "how_many": Tags("|", count=True, of="tags"),
    "class": Category(one_hot=True),
    "maker": TargetMean(smoothing=5.0),
    "area": Clusters(of=("x", "y"), clusters=3),
}


def fitted(rows=200, seed=0):
    frame = table(rows, seed)
    target = np.random.default_rng(1).normal(size=rows)
    return TableEncoder.fit(frame, columns=KINDS, target=target), frame, target


def same(first, second):
    assert list(first) == list(second)
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        np.testing.assert_array_equal(array, second[name])


# --- against independent encoders


def test_features_name_what_transform_gives():
    encoder, frame, _ = fitted()
    arrays = encoder.transform(frame)
    assert [feature.name for feature in encoder.features] == list(arrays)
    for feature in encoder.features:
        array = arrays[feature.name]
        if isinstance(feature, Categorical):
            assert array.shape == (200,)
            assert array.dtype == np.int32
            assert array.min() >= 0
            assert array.max() < feature.size
        else:
            assert isinstance(feature, Numeric | MultiHot)
            assert array.shape == (200, feature.size)
            assert array.dtype == np.float32
    # Numbers stand where the first of them does; what was not named follows in the table's order; gaps come last.
    names = ["numbers", "user", "tags", "class", "area", "city", "open", "missing"]
    assert [feature.name for feature in encoder.features] == names


def test_numbers_are_those_of_the_standard_scaler():
    frame = table()[["price", "weight"]]
    arrays = TableEncoder.fit(frame, columns={"price": Number(log=True)}).transform(frame)
    weight = frame["weight"].fillna(frame["weight"].median())
    expected = StandardScaler().fit_transform(np.column_stack([np.log1p(frame["price"]), weight]))
    np.testing.assert_allclose(arrays["numbers"], expected, atol=1e-6)
    np.testing.assert_array_equal(arrays["missing"][:, 0], frame["weight"].isna())


def test_a_number_may_stay_unscaled():
    frame = pd.DataFrame({"a": [1.0, 5.0], "b": [2.0, 4.0]})
    encoder = TableEncoder.fit(frame, columns={"a": Number(scale=False)})
    assert encoder.transform(frame)["numbers"].tolist() == [[1, -1], [5, 1]]


def test_categories_are_those_of_ordinal_and_one_hot_encoders():
    frame = table()[["city", "class"]]
    encoder = TableEncoder.fit(frame, columns={"class": Category(one_hot=True), "city": Category()})
    arrays = encoder.transform(frame)
    text = frame["city"].fillna("zzz").to_numpy(object)[:, None]  # the missing value has the last id
    np.testing.assert_array_equal(arrays["city"], OrdinalEncoder().fit_transform(text)[:, 0] + 1)
    number = frame["class"].fillna(99).to_numpy()[:, None]
    np.testing.assert_array_equal(arrays["class"], OneHotEncoder(sparse_output=False).fit_transform(number))
    assert encoder.vocabulary("city") == Vocabulary(("Bonn", "Oslo", "Rome"))
    assert encoder.vocabulary("class") == Vocabulary((1, 2, 3, 4))


def test_rare_categories_and_tags_are_unknown():
    frame = pd.DataFrame({"a": ["x", "x", "y", "z", "z"], "t": ["p|q", "p", "q", "r", "q"]})
    encoder = TableEncoder.fit(frame, columns={"a": Category(min_count=2), "t": Tags(min_count=2)})
    arrays = encoder.transform(frame)
    assert arrays["a"].tolist() == [1, 1, 0, 2, 2]
    assert arrays["t"].tolist() == [[1, 1], [1, 0], [0, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize("kind", ["text", "list", "tuple", "array", "set"])
def test_tags_are_those_of_the_multi_label_binarizer(kind):
    lists = [[label for label in str(cell).split("|") if label] for cell in table()["tags"].fillna("")]
    make = {"text": "|".join, "list": list, "tuple": tuple, "array": lambda x: np.array(x, object), "set": set}[kind]
    frame = pd.DataFrame({"tags": pd.Series([make(each) for each in lists], dtype=object)})
    encoder = TableEncoder.fit(frame, columns={"tags": Tags("|")})
    arrays = encoder.transform(frame)
    np.testing.assert_array_equal(arrays["tags"], MultiLabelBinarizer().fit_transform(lists))
    np.testing.assert_array_equal(arrays["missing"][:, 0], [not each for each in lists])
    counted = TableEncoder.fit(frame, columns={"n": Tags("|", count=True, of="tags")})
    counts = np.array([[len(each)] for each in lists])
    np.testing.assert_allclose(counted.transform(frame)["numbers"], StandardScaler().fit_transform(counts), atol=1e-6)


def test_dates_by_hand():
    dates = pd.to_datetime(["2024-01-01", "2024-07-01", None, "1970-01-01"])
    numbers = TableEncoder.fit(pd.DataFrame({"when": dates})).frame(pd.DataFrame({"when": dates}))
    days = [19723, 19905, 19723, 0]  # from a calendar; the gap is the median
    assert numbers["when_days"].tolist() == days
    assert numbers["when is missing"].tolist() == [0, 0, 1, 0]
    weekday = 2 * np.pi * np.array([0, 0, 3]) / 7  # two Mondays and a Thursday
    np.testing.assert_allclose(numbers.loc[[0, 1, 3], "when_weekday_sin"], np.sin(weekday), atol=1e-12)
    season = 2 * np.pi * np.array([0, 182, 0]) / 365.25
    np.testing.assert_allclose(numbers.loc[[0, 1, 3], "when_season_cos"], np.cos(season), atol=1e-12)
    assert numbers.loc[2, ["when_weekday_sin", "when_season_cos"]].tolist() == [0, 0]
    text = pd.DataFrame({"when": ["2024-01-01", "2024-07-01", None, "1970-01-01"]})
    pd.testing.assert_frame_equal(TableEncoder.fit(text, columns={"when": Date()}).frame(text), numbers)


def test_target_means_by_hand_and_out_of_fold_for_training_rows():
    frame = pd.DataFrame({"a": ["x", "x", "x", "y", "y", None]})
    target = np.array([1, 1, 0, 0, 0, 1])
    encoder = TableEncoder.fit(frame, columns={"a": TargetMean(smoothing=2, folds=3)}, target=target)
    rows = encoder.frame(pd.DataFrame({"a": ["x", "y", "new", None]}))
    np.testing.assert_allclose(rows["a_mean"], [(2 + 2 * 0.5) / 5, 1 / 4, 0.5, 0.5])
    np.testing.assert_allclose(rows["a_log_count"], np.log([4, 3, 1, 1]))
    fold = np.random.default_rng(0).permutation(np.arange(6) % 3)
    training = encoder.frame(frame, target=target)
    for row in range(6):
        others = (fold != fold[row]) & (frame["a"] == frame["a"][row]).to_numpy()
        mean = target[fold != fold[row]].mean()
        expected = (target[others].sum() + 2 * mean) / (others.sum() + 2)
        assert training["a_mean"][row] == pytest.approx(expected, rel=1e-6)
    scaled = encoder.transform(frame, target=target)["numbers"]
    np.testing.assert_allclose(scaled, StandardScaler().fit_transform(training[["a_mean", "a_log_count"]]), atol=1e-6)
    with pytest.raises(ConfigurationError, match="TargetMean needs the target"):
        TableEncoder.fit(frame, columns={"a": TargetMean()})


@pytest.mark.parametrize("smoothing", [0.0, 3.0, 10.0])
def test_smoothed_means_are_scikit_learns(smoothing):
    rng = np.random.default_rng(0)
    names, target = np.array(list("abcdefgh"))[rng.integers(0, 8, 300) * rng.integers(0, 2, 300)], rng.random(300) < 0.7
    columns = {"name": TargetMean(smoothing=smoothing)}
    encoder = TableEncoder.fit(pd.DataFrame({"name": names}), columns=columns, target=target)
    oracle = TargetEncoder(smooth=smoothing, target_type="binary").fit(names[:, None], target.astype(int))
    new = np.array([*"abcdefgh", "unseen"])
    found = encoder.frame(pd.DataFrame({"name": new}))
    np.testing.assert_allclose(found["name_mean"], oracle.transform(new[:, None])[:, 0], rtol=1e-6)
    counts = [np.sum(name == names) for name in new]
    np.testing.assert_allclose(found["name_log_count"], np.log1p(counts), rtol=1e-6)


def test_a_training_row_never_sees_its_own_target():
    """Changed in one row, the target moves that row's encoding nowhere; and values of one row each tell nothing."""
    frame, rng = (
        pd.DataFrame({"a": np.random.default_rng(0).integers(0, 40, 200).astype(str)}),
        np.random.default_rng(1),
    )
    target = rng.random(200)

    def encoded(frame, target, **options):
        encoder = TableEncoder.fit(frame, columns={"a": TargetMean(**options)}, target=target)
        return encoder.frame(frame, target=target)["a_mean"].to_numpy(), encoder.frame(frame)["a_mean"].to_numpy()

    before, _ = encoded(frame, target, seed=3)
    for row in (0, 17, 199):
        changed = target.copy()
        changed[row] += 1
        assert encoded(frame, changed, seed=3)[0][row] == before[row]
    assert not np.array_equal(encoded(frame, target, seed=4)[0], before)
    outside, inside = encoded(pd.DataFrame({"a": [f"n{i}" for i in range(200)]}), target, smoothing=1)
    assert np.corrcoef(inside, target)[0, 1] > 0.99
    assert len(np.unique(outside)) <= 5  # each fold is encoded as one number, the mean of the others
    with pytest.raises(ConfigurationError, match="from 2 to the number of rows, 200"):
        encoded(frame, target, folds=201)


@pytest.mark.parametrize("clusters", [1, 3, 4, 5])
def test_clusters_are_those_of_kmeans_under_numbers_of_their_own(clusters):
    rng = np.random.default_rng(1)
    points = rng.uniform(-3, 3, (4, 2))[rng.integers(0, 4, 200)] + rng.normal(0, 0.4, (200, 2))
    frame, new = pd.DataFrame(points, columns=["x", "y"]), rng.uniform(-5, 5, (300, 2))
    kind = Clusters(of=("x", "y"), clusters=clusters, seed=3)
    encoder = TableEncoder.fit(frame, columns={"area": kind})
    ours = encoder.transform(pd.DataFrame(new, columns=["x", "y"]))["area"].argmax(axis=1)
    theirs = KMeans(clusters, n_init=10, random_state=3).fit(points).predict(new)
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == len(set(ours.tolist())) <= clusters
    if clusters == 4:
        other = TableEncoder.fit(frame, columns={"area": Clusters(of=("x", "y"), clusters=4, seed=9)})
        same(other.transform(frame), encoder.transform(frame))
    with pytest.raises(DataError, match="column 'area': fewer distinct points than clusters; expected 300 or more"):
        TableEncoder.fit(frame, columns={"area": Clusters(of=("x", "y"), clusters=300)})


def test_training_rows_do_not_see_their_own_target():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"maker": rng.integers(0, 30, 200).astype(str), "rooms": rng.normal(size=200)})
    target, train = rng.random(200), np.arange(150)
    columns = {"maker": TargetMean(), "rooms": Number(), "kind": Category(of="maker")}
    found = encode_table(table, train, columns=columns, target=target)
    encoder = TableEncoder.fit(table[:150], columns=columns, target=target[:150])
    assert found.encoder == encoder
    own, later = encoder.transform(table[:150], target=target[:150]), encoder.transform(table[150:])
    for name, array in found.inputs.items():
        np.testing.assert_array_equal(array[:150], own[name])
        np.testing.assert_array_equal(array[150:], later[name])
    pd.testing.assert_frame_equal(found.frame[:150], encoder.frame(table[:150], target=target[:150]))
    pd.testing.assert_frame_equal(found.frame[150:], encoder.frame(table[150:]))
    assert not np.array_equal(found.inputs["numbers"][:150], encoder.transform(table[:150])["numbers"])


def test_numbers_that_fill_up_to_a_constant_stay_zero():
    frame = pd.DataFrame({"a": [7.0, None, 7.0], "b": [1.0, 2.0, 3.0]})
    encoder = TableEncoder.fit(frame)
    assert encoder.transform(pd.DataFrame({"a": [9.0], "b": [2.0]}))["numbers"].tolist() == [[0, 0]]


def test_clusters_are_the_nearest_centres():
    rng = np.random.default_rng(0)
    towns = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    town = rng.integers(0, 3, 90)
    frame = pd.DataFrame(towns[town] + rng.normal(0, 0.3, (90, 2)), columns=["x", "y"])
    encoder = TableEncoder.fit(frame, columns={"area": Clusters(of=("x", "y"), clusters=3)})
    assert encoder.features == (MultiHot("area", 3),)  # x and y are used, so they are not inferred
    arrays = encoder.transform(frame)["area"]
    assert len({(int(place), column) for place, column in zip(town, arrays.argmax(1), strict=True)}) == 3
    assert (arrays.sum(1) == 1).all()
    assert encoder.transform(pd.DataFrame({"x": [np.nan], "y": [1.0]}))["area"].tolist() == [[0, 0, 0]]


def test_one_source_may_give_several_columns():
    frame = pd.DataFrame({"price": [1.0, 10.0, np.nan], "city": ["a", "b", "a"]})
    kinds = {"price": Number(), "price_log": Number(log=True, of="price", flag_missing=False)}
    encoder = TableEncoder.fit(frame, columns=kinds)
    assert encode_table(frame, np.arange(3), columns=kinds).groups == {"price": [0, 1, 3], "city": [2]}
    assert list(encoder.frame(frame)) == ["price", "price_log", "city", "price is missing"]


# --- inference, missing values, new rows


def test_kinds_are_inferred_from_dtype_and_listed():
    frame = table().drop(columns=["tags", "maker", "x", "y"]).assign(many=[["a"], ["a", "b"]] * 100)
    frame["size"] = pd.Categorical(["S", "M"] * 100, categories=["S", "M", "L"])
    frame["nullable"] = pd.array([1, None] * 100, dtype="Int64")
    frame["string"] = pd.array(["u", "v"] * 100, dtype="string")
    encoder = TableEncoder.fit(frame)
    kinds = {column.name: type(column.kind) for column in encoder.columns}
    assert kinds == {
        "price": Number,
        "weight": Number,
        "city": Category,
        "class": Number,
        "open": Category,
        "sold": Date,
        "user": Number,
        "many": Tags,
        "size": Category,
        "nullable": Number,
        "string": Category,
    }
    lines = str(encoder).splitlines()
    assert len(lines) == 1 + len(encoder.columns)
    assert [line.split()[0] for line in lines[1:]] == list(kinds)


def test_gaps_and_new_values_mean_the_same_at_fit_and_at_predict_time():
    frame = pd.DataFrame({"gaps": ["a", None, "b"], "full": ["p", "q", "p"], "n": [1.0, None, 3.0]})
    encoder = TableEncoder.fit(frame)
    rows = pd.DataFrame({"gaps": [None, "new", "b", ""], "full": [None, "new", "q", ""], "n": [None, 5, 1, 2]})
    arrays = encoder.transform(rows)
    assert arrays["gaps"].tolist() == [3, 0, 2, 3]
    assert arrays["full"].tolist() == [0, 0, 2, 0]
    assert arrays["numbers"][0] == arrays["numbers"][3] == encoder.transform(frame)["numbers"][1]
    assert arrays["missing"].tolist() == [[1], [0], [0], [0]]
    # A row alone is encoded as it is in a table.
    for row in range(4):
        for name, array in encoder.transform(rows.iloc[[row]]).items():
            np.testing.assert_array_equal(array[0], arrays[name][row])


def test_unknown_labels_are_encoded_as_none_counted_and_said_once():
    frame = pd.DataFrame({"city": ["Rome", "Oslo"], "one": ["a", "b"], "tags": ["x|y", "x"], "who": [1, 2]})
    encoder = TableEncoder.fit(frame, columns={"one": Category(one_hot=True), "tags": Tags(), "who": Id()})
    new = pd.DataFrame({"city": ["Bonn", "Kiel", "Bonn", None, "Rome"], "one": ["c"] * 5, "who": [3] * 5})
    new["tags"] = ["z|x|v", "z", "", None, "y"]
    counts = {"one": "1 .*, 5 times", "tags": "2 .*, 3 times, .* 'z'", "city": "2 values, 3 times, the first 'Bonn'"}
    with pytest.warns(
        UserWarning, match=".*".join(f"column '{name}': {text}" for name, text in counts.items())
    ) as said:
        arrays = encoder.transform(new)
    assert len(said) == 1
    assert "who" not in str(said[0].message)  # ids that nobody knows are what an id's 0 is for
    assert arrays["city"].tolist() == [0, 0, 0, 0, 2]
    assert not arrays["one"].any()
    assert arrays["tags"].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0], [0, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform(new)
        encoder.transform(frame)
        TableEncoder.fit(frame, columns={"city": Category(), "tags": Tags(min_count=2)})  # its own rows are known


def test_labels_are_compared_as_text():
    encoder = TableEncoder.fit(pd.DataFrame({"code": pd.Categorical([7, 12, 7])}))
    for values in ([7, 12, 5], [7.0, 12.0, np.nan], ["7", "12", "x"], pd.Categorical(["7", "12", None])):
        assert encoder.transform(pd.DataFrame({"code": values}))["code"].tolist() == [1, 2, 0]
    truth = TableEncoder.fit(pd.DataFrame({"open": [True, False]}))
    assert truth.transform(pd.DataFrame({"open": ["True", False, None]}))["open"].tolist() == [2, 1, 0]


def test_extra_columns_are_left_out_and_named_once():
    frame = pd.DataFrame({"a": [1, 2], "answer": [0, 1]})
    encoder = TableEncoder.fit(frame, drop=["answer"])
    with pytest.warns(UserWarning, match="left out: b, c"):
        arrays = encoder.transform(frame.assign(b=1, c=2))
    assert list(arrays) == ["numbers"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform(frame.assign(b=1, c=2))
        encoder.transform(frame)


def test_input_names_are_such_as_keras_takes_and_differ():
    frame = pd.DataFrame({"a.b": ["x", "y"], "a b": ["x", "y"], "1st": ["x", "y"], "numbers": ["x", "y"], "n": [1, 2]})
    encoder = TableEncoder.fit(frame)
    assert [feature.name for feature in encoder.features] == ["a_b", "a_b_2", "_1st", "numbers_2", "numbers"]
    assert [feature.name for feature in TableEncoder.fit(frame, numbers="all").features][-1] == "all"
    assert list(TableEncoder.fit(pd.DataFrame([["x", 1], ["y", 2]])).transform(pd.DataFrame([["x", 1]]))) == [
        "_0",
        "numbers",
    ]


# --- bad tables


@pytest.fixture
def encoder():
    return TableEncoder.fit(pd.DataFrame({"income": [1.0, 2.0], "city": ["a", "b"]}))


def test_missing_and_misspelt_columns_are_named_with_the_nearest(encoder):
    with pytest.raises(DataError, match="column 'income': the column is missing; the nearest name is 'incom'"):
        encoder.transform(pd.DataFrame({"incom": [1.0], "city": ["a"]}))
    frame = pd.DataFrame({"income": [1.0, 2.0]})
    for arguments in ({"columns": {"incomes": Number()}}, {"drop": ["incomes"]}):
        with pytest.raises(DataError, match=r"column 'incomes': .*nearest name is 'income'"):
            TableEncoder.fit(frame, **arguments)


def test_text_in_a_column_of_numbers_is_named_with_row_and_value(encoder):
    with pytest.raises(DataError, match="row 2, column 'income': not a number; received 'many'"):
        encoder.transform(pd.DataFrame({"income": [1.0, "many"], "city": ["a", "b"]}))
    assert encoder.transform(pd.DataFrame({"income": ["2"], "city": ["a"]}))["numbers"].tolist() == [[1]]
    mixed = pd.DataFrame({"n": [1.5, 2.0, "n/a", 4.0]})
    with pytest.raises(DataError, match=r"row 3, column 'n': text in a column of numbers.*received 'n/a'"):
        TableEncoder.fit(mixed)
    read = pd.DataFrame({"n": [*map(str, range(40)), "?"]})
    with pytest.raises(DataError, match=r"row 41, column 'n': text in a column of numbers.*received '\?'"):
        TableEncoder.fit(read)
    for frame in (mixed, read):
        with pytest.raises(DataError, match="column 'n': not a number"):
            TableEncoder.fit(frame, columns={"n": Number()})
        assert TableEncoder.fit(frame, columns={"n": Category()}).features[0] == Categorical("n", len(frame) + 1)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Number(), [1.0, np.inf], "row 2, column 'c': out of range; expected a finite number; received inf"),
        (Number(log=True), [1.0, -2.0], "row 2, column 'c': out of range; expected a finite number, 0 or more"),
        (Number(), pd.to_datetime(["2020", "2021"]), "column 'c': not a column of numbers"),
        (Date(), ["2020-01-01", "soon"], "row 2, column 'c': not a date; .*received 'soon'"),
        (Date(), [1.0, 2.0], "column 'c': not a column of dates"),
        (Tags(), ["a", 5], "row 2, column 'c': neither text nor a list of text; received 5"),
        (Tags(), [["a"], ["b", 5]], "row 2, column 'c': not a list of text"),
        (Category(), [["a"], ["b"]], "column 'c': not a column of categories"),
        (Id(), ["a", None], "row 2, column 'c': an id is missing"),
    ],
)
def test_values_that_are_not_of_their_kind(kind, values, message):
    frame = pd.DataFrame({"c": values})
    with pytest.raises(DataError, match=message):
        TableEncoder.fit(frame, columns={"c": kind})


ODD = {
    "integers too large": [10**400, 1, 2, 3],
    "decimals": [decimal.Decimal(1), decimal.Decimal("NaN"), decimal.Decimal("1e999"), 2],
    "complex": [1j, 2, 3, 4],
    "sets of all sorts": [{1, "a"}, {"b"}, set(), None],
    "mappings": [{"a": 1}, {}, {"b": 2}, None],
    "arrays": [np.zeros((2, 2)), np.array(["a", "b"]), None, np.zeros(1)],
    "bytes": [b"a", b"b", b"a", None],
    "half a surrogate pair": ["\ud800", "a", "b", "a"],
    "years out of nanoseconds": np.array(["3000-01-01", "1500-01-01", "NaT", "2021-01-01"], "datetime64[s]"),
    "such years as text": ["3000-01-01", "2020-01-01", None, "0001-01-01"],
    "digits of other scripts": ["٢٠٢٠-٠١-٠١", "١", "2", None],
    "categories of integers with gaps": pd.Categorical([1, 2, None, 1]),
    "periods": pd.period_range("2020", periods=4, freq="D"),
    "intervals": pd.interval_range(0, 4),
    "mixed": ["2020-01-01", 5, None, object()],
    "nested lists": [["a", ["b"]], ["c"], [], None],
    "zones and none": [pd.Timestamp("2020"), pd.Timestamp("2021", tz="UTC"), None, None],
    "large and small": ["1e400", "1e-400", "2", "3"],
    "a megabyte": ["x" * 10**6, "b", "a", "b"],
}


@pytest.mark.parametrize("values", ODD.values(), ids=ODD)
def test_odd_values_are_encoded_or_refused_in_a_line(values):
    kinds = [None, Number(log=True), Category(one_hot=True), Id(), Tags(), Date(), TargetMean(folds=2)]
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "c": pd.Series(values, dtype=getattr(values, "dtype", object))})
    uses = [partial(TableEncoder.fit, columns=kind and {"c": kind}, target=range(4)) for kind in kinds]
    uses = [lambda rows, fit=fit: fit(rows).transform(rows) for fit in uses]
    for learn in (Target.classes, Target.amount, Vocabulary.fit, partial(splits.stratified, seed=0), splits.by_time):
        uses.append(lambda rows, learn=learn: learn(rows["c"]))
    uses.append(lambda rows: splits.random_per_user(rows["c"], range(4), seed=0))
    uses.append(lambda rows: splits.kept_back(rows[["c"]], seed=0))
    encoder = TableEncoder.fit(pd.DataFrame({"n": [1, 2], "c": ["1", "2"]}), columns={"n": Number(), "c": Number()})
    refusals = []
    for use in (*uses, encoder.transform):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                use(frame)
            except (DataError, ConfigurationError) as error:
                refusals.append(str(error))
    assert refusals
    assert all(text.isprintable() and len(text) < 1000 for text in refusals)


def test_years_out_of_nanoseconds_are_days():
    dates = np.array(["3000-01-01", "1500-07-01", "NaT", "2024-01-01"], "datetime64[s]")
    table = TableEncoder.fit(pd.DataFrame({"d": dates})).frame(pd.DataFrame({"d": dates}))
    assert table["d_days"].tolist() == [376200, -171483, 19723, 19723]
    np.testing.assert_allclose(table.loc[1, "d_season_cos"], np.cos(2 * np.pi * 181 / 365.25))


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0], ["a"] * 3, [None] * 3, [np.nan] * 3, [True] * 3, [["a"]] * 3])
def test_constant_and_empty_columns_are_left_out_with_a_notice(values):
    frame = pd.DataFrame({"c": pd.Series(values), "n": [1, 2, 3]})
    with pytest.warns(UserWarning, match="column 'c' is left out: (constant|no value)"):
        encoder = TableEncoder.fit(frame)
    assert len(encoder.notices) == 1
    assert list(encoder.transform(frame)) == ["numbers"]
    with pytest.raises(DataError, match="no column can be encoded"), pytest.warns(UserWarning, match="left out"):
        TableEncoder.fit(frame[["c"]])


@pytest.mark.parametrize(
    "kind", [Number(), Category(), Tags(), Date(), TargetMean(), Clusters(of=("c",)), Category(one_hot=True)]
)
def test_a_named_column_without_values_is_left_out_too(kind):
    frame = pd.DataFrame({"c": [None] * 30, "n": range(30)})
    with pytest.warns(UserWarning, match="is left out: no value"):
        encoder = TableEncoder.fit(frame, columns={"c": kind}, target=range(30))
    assert encoder.features == (Numeric("numbers", 1),)


def test_text_that_is_nearly_always_different_is_left_out():
    frame = pd.DataFrame({"name": [f"row {i}" for i in range(50)], "n": range(50)})
    with pytest.warns(UserWarning, match="column 'name' is left out: nearly every value differs"):
        assert TableEncoder.fit(frame).features == (Numeric("numbers", 1),)
    assert len(TableEncoder.fit(frame, columns={"name": Category()}).features) == 2


@pytest.mark.parametrize("dtype", ["str", "category"])
def test_of_very_many_values_those_of_few_rows_are_unknown(dtype):
    rows = np.r_[np.repeat(np.arange(5), 1000), np.arange(10_001)]
    frame = pd.DataFrame({"who": pd.Series([f"u{row}" for row in rows]).astype(dtype), "n": rows})
    with pytest.warns(UserWarning, match="column 'who' has very many values; those of fewer than 10 rows"):
        encoder = TableEncoder.fit(frame)
    assert encoder.vocabulary("who").values == tuple(f"u{row}" for row in range(5))
    assert len(TableEncoder.fit(frame, columns={"who": Category()}).vocabulary("who").values) == 10_001
    assert len(TableEncoder.fit(frame[rows < 10_000]).vocabulary("who").values) == 10_000
    rare = frame.iloc[5000:].assign(n=0).iloc[np.arange(30_000) % 10_001]
    with pytest.warns(UserWarning, match="column 'who' is left out: no value has 10 rows"):
        assert "who" in TableEncoder.fit(rare.assign(n=range(30_000))).ignored


def test_what_is_no_table_is_refused():
    with pytest.raises(DataError, match="no rows"):
        TableEncoder.fit(pd.DataFrame({"a": []}))
    with pytest.raises(DataError, match="column 'a': two columns have this name"):
        TableEncoder.fit(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))
    with pytest.raises(DataError, match="not a table"):
        TableEncoder.fit([[1, 2]])
    with pytest.raises(DataError, match="the target does not fit"):
        TableEncoder.fit(pd.DataFrame({"a": [1, 2]}), target=[1])
    with pytest.raises(ConfigurationError, match="both in `columns` and in `drop`"):
        TableEncoder.fit(pd.DataFrame({"a": [1, 2]}), columns={"a": Number()}, drop=["a"])
    with pytest.raises(ConfigurationError, match=r"kind of column 'a' must be one of Number, .*Received: 'number'"):
        TableEncoder.fit(pd.DataFrame({"a": [1, 2]}), columns={"a": "number"})
    with pytest.raises(DataError, match="column 'a': no kind fits"):
        TableEncoder.fit(pd.DataFrame({"a": pd.to_timedelta([1, 2], "D")}))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Category(min_count=0),
        lambda: Tags(""),
        lambda: TargetMean(folds=1),
        lambda: TargetMean(smoothing=-1),
        lambda: Clusters(of=()),
        lambda: Clusters(of="x"),
        lambda: Clusters(of=("x",), clusters=0),
    ],
)
def test_kinds_check_their_settings(make):
    with pytest.raises(ConfigurationError):
        make()


def test_one_row_and_no_row():
    with pytest.warns(UserWarning, match="constant"), pytest.raises(DataError, match="no column can be encoded"):
        TableEncoder.fit(pd.DataFrame({"a": [1.0], "b": ["x"]}))
    encoder, frame, _ = fitted()
    for feature, array in zip(encoder.features, encoder.transform(frame.head(0)).values(), strict=True):
        assert array.shape == ((0,) if isinstance(feature, Categorical) else (0, feature.size))


def test_ten_thousand_categories():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"code": np.char.add("value ", rng.integers(0, 10_000, 60_000).astype(str))})
    encoder = TableEncoder.fit(frame)
    ids = encoder.transform(frame)["code"]
    np.testing.assert_array_equal(ids, OrdinalEncoder().fit_transform(frame)[:, 0] + 1)
    assert encoder.vocabulary("code").size == ids.max() + 1 == frame["code"].nunique() + 1


# --- JSON


def test_reloaded_encoders_give_identical_arrays(tmp_path):
    encoder, frame, target = fitted()
    encoder.save(tmp_path / "encoder.json")
    loaded = TableEncoder.load(tmp_path / "encoder.json")
    assert TableEncoder.from_dict(encoder.to_dict()) == encoder
    other = table(50, seed=5).assign(city="new")
    for rows, values in ((frame, None), (frame, target), (other, None)):
        same(loaded.transform(rows, target=values), encoder.transform(rows, target=values))
        pd.testing.assert_frame_equal(loaded.frame(rows, target=values), encoder.frame(rows, target=values))
    assert loaded == encoder
    assert loaded.features == encoder.features
    assert str(loaded) == str(encoder)
    targets = {"kind": Target.classes(["a", "b"]), "price": Target.amount([1.0, 5.0], log=True)}
    save_encoders({"table": encoder, **targets, "user": Vocabulary((1, 2))}, tmp_path / "all.json")
    assert load_encoders(tmp_path / "all.json") == {"table": encoder, **targets, "user": Vocabulary((1, 2))}


def test_damaged_files_are_refused(tmp_path):
    encoder, _, _ = fitted()
    path = tmp_path / "encoder.json"
    encoder.save(path)
    whole = json.loads(path.read_text())
    damages = [
        lambda content: content.pop("columns"),
        lambda content: content.update(type="Target"),
        lambda content: content["scaler"].update(mean=[1.0], scale=[1.0]),
        lambda content: content["columns"]["city"].update(kind="Colour"),
        lambda content: content["columns"]["city"].pop("learnt"),
        lambda content: content["columns"]["city"]["learnt"].update(values=[1, "a"]),
        lambda content: content["columns"]["weight"]["learnt"].update(median="high"),
        lambda content: content["columns"]["price"].update(logarithm=True),
        lambda content: content["columns"]["area"]["learnt"].update(centres=[]),
        lambda content: content["columns"]["area"]["learnt"].update(centres=[[1.0, 2.0], [1.0]]),
        lambda content: content["columns"]["area"]["learnt"].update(centres=[["1", 2.0]]),
        lambda content: content["columns"]["tags"]["learnt"].update(labels=["b", "a"]),
        lambda content: content["columns"]["tags"]["learnt"].update(labels=[1]),
        lambda content: content["columns"]["maker"]["learnt"].update(mean="x"),
        lambda content: content["columns"]["maker"]["learnt"].update(values=["b", "a"]),
        lambda content: content["scaler"].update(scale=[-1.0] * len(content["scaler"]["scale"])),
        lambda content: content["columns"]["maker"]["learnt"].update(counts=[]),
    ]
    for damage in damages:
        content = json.loads(json.dumps(whole))
        damage(content)
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"encoder\.json"):
            TableEncoder.load(path)
    with pytest.raises(DataError, match="cannot be read"):
        TableEncoder.load(tmp_path / "missing.json")


@pytest.mark.parametrize("seed", range(25))
def test_random_tables_keep_the_contract(seed, tmp_path):
    """Shapes, dtypes, ranges, finite numbers, the same row alone and in a table, and the same after reloading."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 60))
    makers = [
        lambda: rng.normal(size=rows) * 10.0 ** rng.integers(-6, 9),
        lambda: rng.integers(-5, 5, rows),
        lambda: np.where(rng.random(rows) < 0.5, np.nan, rng.normal(size=rows)),
        lambda: rng.choice(["a", "b", "ä ö", "", None], rows),
        lambda: rng.random(rows) < 0.5,
        lambda: pd.Series(rng.choice([1, 2, None], rows), dtype="Int64"),
        lambda: pd.Categorical(rng.choice(["u", "v"], rows)),
        lambda: pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(-9000, 9000, rows), "D"),
        lambda: pd.Series([list(rng.choice(["p", "q", "r"], rng.integers(0, 4))) for _ in range(rows)]),
    ]
    chosen = rng.integers(0, len(makers), 6)
    frame = pd.DataFrame({f"c{place}": makers[which]() for place, which in enumerate(chosen)} | {"n": np.arange(rows)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = TableEncoder.fit(frame)
    arrays = encoder.transform(frame)
    for feature in encoder.features:
        array = arrays[feature.name]
        assert np.isfinite(array).all()
        if isinstance(feature, Categorical):
            assert array.max() < feature.size
        elif isinstance(feature, MultiHot):
            assert set(np.unique(array)) <= {0, 1}
    encoder.save(tmp_path / "e.json")
    same(TableEncoder.load(tmp_path / "e.json").transform(frame), arrays)
    row = int(rng.integers(rows))
    for name, array in encoder.transform(frame.iloc[[row]]).items():
        np.testing.assert_array_equal(array[0], arrays[name][row])
    assert np.isfinite(encoder.frame(frame).to_numpy()).all()


# --- the target


def test_classes_and_back():
    target = Target.classes(pd.Series(["no", "yes", "no", "maybe"]))
    assert (target.labels, target.size) == (("maybe", "no", "yes"), 3)
    assert target.transform(["yes", "maybe"]).tolist() == [2, 0]
    assert target.transform(["yes"]).dtype == np.int32
    assert target.inverse(np.eye(3)[[2, 0]]).tolist() == ["yes", "maybe"]
    assert target.inverse([1, 1]).tolist() == ["no", "no"]
    ordered = Target.classes([True, False], labels=[True, False])
    assert ordered.transform([False, True]).tolist() == [1, 0]
    assert ordered.inverse([[0.9], [0.2]]).tolist() == ["False", "True"]
    numbers = Target.classes([10.0, 2.0, 10.0])
    assert (numbers.labels, numbers.inverse(np.array([0.7])).tolist()) == ((2, 10), [10])


@pytest.mark.parametrize("log", [False, True])
def test_amounts_and_back(log):
    amounts = np.random.default_rng(0).lognormal(5, 1, 100)
    target = Target.amount(amounts[:70], log=log)
    scale = np.log1p if log else np.asarray
    expected = StandardScaler().fit(scale(amounts[:70])[:, None]).transform(scale(amounts)[:, None])
    encoded = target.transform(amounts)
    assert (encoded.shape, encoded.dtype, target.size) == ((100, 1), np.float32, 1)
    np.testing.assert_allclose(encoded, expected, atol=1e-5)
    for predictions in (encoded, encoded[:, 0]):
        restored = target.inverse(predictions)
        assert (restored.shape, restored.dtype) == ((100,), np.float64)
        np.testing.assert_allclose(restored, amounts, rtol=1e-5)


def test_the_target_is_saved(tmp_path):
    for target in (Target.classes(["a", "b"]), Target.classes([1, 2, 3]), Target.amount([1.0, 4.0], log=True)):
        target.save(tmp_path / "target.json")
        assert Target.load(tmp_path / "target.json") == target
    text = '{"type": "Target", "labels": ["a"], "scaler": null, "log": false, "edges": []}'
    (tmp_path / "target.json").write_text(text)
    with pytest.raises(DataError, match=r"target\.json: .*two distinct classes"):
        Target.load(tmp_path / "target.json")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target.classes(["a", "a"]), "the target is constant"),
        (lambda: Target.classes([]), "there are no rows"),
        (lambda: Target.classes(["a", None, "b"]), "row 2, column 'target': a label is missing"),
        (lambda: Target.classes(["no", "yess"], ["no", "yes"]), "row 2, .* nearest is 'yes'; .*received 'yess'"),
        (lambda: Target.amount([1.0, 1.0]), "the target is constant"),
        (lambda: Target.amount([]), "no amounts"),
        (lambda: Target.amount([1.0, np.nan]), "row 2, column 'target': an amount is missing"),
        (lambda: Target.amount([1.0, np.inf]), "row 2, column 'target': out of range"),
        (lambda: Target.amount([1.0, -2.0], log=True), "row 2, column 'target': out of range"),
        (lambda: Target.amount(["1", "much"]), "row 2, column 'target': not a number; received 'much'"),
    ],
)
def test_targets_that_cannot_be_learnt(make, message):
    with pytest.raises(DataError, match=message):
        make()


@pytest.mark.parametrize("predictions", [np.zeros((2, 4)), np.array([0.5, 0.6]), np.array([3]), np.array([-1])])
def test_predictions_of_another_shape_are_refused(predictions):
    with pytest.raises(ConfigurationError):
        Target.classes(["a", "b", "c"]).inverse(predictions)


def test_the_matrix_of_a_table_has_the_columns_of_each_source_where_groups_say():
    table = pd.DataFrame({"width": [1.0, 2.0, 6.0], "tags": ["a|b", "b", ""], "height": [4.0, 2.0, 3.0]})
    columns = {"width": Number(), "tags": Tags("|", flag_missing=False), "height": Number()}
    encoded = encode_table(table, np.arange(3), columns=columns)
    assert encoded.matrix.dtype == np.float32
    for name, array in encoded.unpack(encoded.matrix[1:]).items():
        np.testing.assert_array_equal(array, encoded.inputs[name][1:])
        assert array.dtype == encoded.inputs[name].dtype
    matrix = {source: encoded.matrix[:, places] for source, places in encoded.groups.items()}
    for name in ("width", "height"):
        scaled = (table[name] - table[name].mean()) / table[name].std(ddof=0)
        np.testing.assert_allclose(matrix[name][:, 0], scaled, rtol=1e-6)
    np.testing.assert_array_equal(matrix["tags"], [[1, 1], [0, 1], [0, 0]])
