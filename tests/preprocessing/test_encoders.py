"""Encoders: what they map, what they refuse, and that a saved file reloads to equal encoders."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from kmodels.errors import DataError
from kmodels.preprocessing import encoders
from kmodels.preprocessing.encoders import MultiHotVocabulary, Standardizer, Vocabulary


def test_vocabulary_numbers_sorted_values_from_one():
    rng = np.random.default_rng(0)
    raw = rng.integers(-1000, 10**9, 500)
    vocabulary = Vocabulary.fit(raw)
    by_hand = {value: number for number, value in enumerate(sorted(set(raw.tolist())), start=1)}
    ids = vocabulary.transform(raw)
    assert ids.dtype == np.int32
    assert ids.tolist() == [by_hand[value] for value in raw.tolist()]
    assert vocabulary.size == len(by_hand) + 1
    assert vocabulary.inverse(ids).tolist() == raw.tolist()


@pytest.mark.parametrize(
    "column",
    [
        [5, 7, 1],
        np.array([5, 7, 1], np.int16),
        np.array([5, 7, 1], np.uint64),
        pd.Series([5, 7, 1], dtype="Int64"),
        pd.Series([5, 7, 1], dtype="category"),
        (value for value in (5, 7, 1)),
    ],
)
def test_integers_of_every_kind_of_column(column):
    assert Vocabulary.fit([1, 5]).transform(column).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    "column",
    [
        ["b", None, "z", "a"],
        np.array(["b", np.nan, "z", "a"], object),
        pd.Series(["b", None, "z", "a"], dtype="string"),
        pd.Series(["b", None, "z", "a"], dtype="category"),
        pd.Series(["b", None, "z", "a"]),
    ],
)
def test_text_of_every_kind_of_column(column):
    assert Vocabulary.fit(["b", "a", "é"]).transform(column).tolist() == [2, 0, 0, 1]


def test_missing_and_unknown_integers_are_zero():
    vocabulary = Vocabulary.fit([3, 1])
    assert vocabulary.transform([1.0, np.nan, 3.0, 1.5]).tolist() == [1, 0, 2, 0]
    assert vocabulary.transform(pd.Series([3, None, 4], dtype="Int64")).tolist() == [2, 0, 0]
    assert vocabulary.transform([None, None]).tolist() == [0, 0]
    assert vocabulary.transform([]).tolist() == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], "not integers alone or text alone"),
        ([1.5, 2.5], "received 'floating'"),
        ([True, False], "received 'boolean'"),
        ([], "received 'empty'"),
        ([1, None], "row 2: a value to learn is missing"),
        (["a", "b", None], "row 3: a value to learn is missing"),
        (np.zeros((2, 2), int), "not a column"),
    ],
)
def test_vocabulary_refuses_to_learn(values, message):
    with pytest.raises(DataError, match=message):
        Vocabulary.fit(values)


def test_vocabulary_refuses_the_other_kind():
    with pytest.raises(DataError, match="expected integers; received 'string'"):
        Vocabulary.fit([1, 2]).transform(["1", "2"])
    with pytest.raises(DataError, match="expected text; received 'integer'"):
        Vocabulary.fit(["1", "2"]).transform([1, 2])


@pytest.mark.parametrize("bad", [-1, 3])
def test_inverse_checks_the_range(bad):
    vocabulary = Vocabulary.fit(["a", "b"])
    assert vocabulary.inverse([[0, 1], [2, 2]]).tolist() == [[None, "a"], ["b", "b"]]
    with pytest.raises(DataError, match=f"row 2, column 'ids': .*received {bad}"):
        vocabulary.inverse([0, bad])


def test_multi_hot_rows():
    genres = MultiHotVocabulary.fit([["Drama", "Action"], [], ("Sci-Fi",), {"Drama"}])
    assert genres.labels == ("Action", "Drama", "Sci-Fi")
    encoded = genres.transform([["Sci-Fi", "Action", "Action"], [], ["Drama"]])
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_multi_hot_leaves_out_unknown_labels_and_says_so():
    genres = MultiHotVocabulary.fit([["Drama"]])
    with pytest.warns(UserWarning, match="Western"):
        encoded = genres.transform([["Western", "Drama"]])
    assert encoded.tolist() == [[1]]


@pytest.mark.parametrize("lists", [["Drama|Action"], [["Drama"], None], [["Drama", 3]], [[float("nan")]]])
def test_multi_hot_refuses_rows_that_are_not_lists_of_text(lists):
    with pytest.raises(DataError, match="not a list of text"):
        MultiHotVocabulary.fit(lists)
    with pytest.raises(DataError, match="not a list of text"):
        MultiHotVocabulary.fit([["Drama"]]).transform(lists)


def test_multi_hot_needs_a_label():
    with pytest.raises(DataError, match="no labels"):
        MultiHotVocabulary.fit([[], []])


def test_standardizer_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    train, other = rng.normal(50, [1.0, 20.0, 1e6], (200, 3)), rng.normal(size=(5, 3))
    standardizer = Standardizer.fit(train)
    expected = StandardScaler().fit(train)
    assert standardizer.transform(train).dtype == np.float32
    np.testing.assert_allclose(standardizer.transform(train), expected.transform(train), atol=1e-6)
    np.testing.assert_allclose(standardizer.transform(other), expected.transform(other), rtol=1e-6)


def test_a_constant_column_is_zero_whatever_comes_later():
    standardizer = Standardizer.fit(pd.DataFrame({"year": [2001, 2001], "age": [1, 3]}))
    assert standardizer.transform([[2050, 3]]).tolist() == [[0.0, 1.0]]
    assert Standardizer.fit([[0.1]] * 7).transform([[0.3]]).tolist() == [[0.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_standardizer_names_the_column_of_a_bad_value(bad):
    table = pd.DataFrame({"age": [1.0, 2.0], "income": [3.0, bad]})
    with pytest.raises(DataError, match="row 2, column 'income': a value is missing or infinite"):
        Standardizer.fit(table)
    with pytest.raises(DataError, match="row 2, column '1'"):
        Standardizer.fit([[0.0, 1.0], [1.0, 2.0]]).transform(table.to_numpy())


@pytest.mark.parametrize("table", [[1.0, 2.0], [["a"]], np.zeros((0, 2))])
def test_standardizer_refuses_what_is_not_a_table_of_numbers(table):
    with pytest.raises(DataError):
        Standardizer.fit(table)


def test_standardizer_refuses_another_number_of_columns():
    with pytest.raises(DataError, match="expected 1; received 2"):
        Standardizer.fit([[1.0], [2.0]]).transform([[1.0, 2.0]])


def test_check_ids():
    encoders.check_ids(np.array([[0, 1], [2, 3]]), 4, "bag")
    encoders.check_ids(np.zeros(0, np.int32), 1, "empty")
    with pytest.raises(DataError, match=r"row 2, column 'bag': .*expected 0 to 3; received 4"):
        encoders.check_ids(np.array([[0, 1], [2, 4], [9, 9]]), 4, "bag")
    with pytest.raises(DataError, match=r"row 3, column 'user_id': .*received -1"):
        encoders.check_ids(np.array([0, 1, -1], np.int32), 4, "user_id")
    with pytest.raises(DataError, match="not integers; received 'float64'"):
        encoders.check_ids(np.array([1.0]), 4, "user_id")


def example():
    return {
        "user_id": Vocabulary.fit([10, 2, 33]),
        "title": Vocabulary.fit(["Amélie", "東京物語", 'a "quoted" one']),
        "genres": MultiHotVocabulary.fit([["Drama"], ["Comedy", "Film-Noir"]]),
        "numbers": Standardizer.fit(np.random.default_rng(0).normal(size=(9, 3)) * [1e-9, 1.0, 1e9]),
        "constant": Standardizer.fit([[0.1], [0.1]]),
    }


def test_saved_encoders_reload_equal(tmp_path):
    path = tmp_path / "encoders.json"
    encoders.save_encoders({"old": Vocabulary.fit([1])}, path)
    encoders.save_encoders(example(), path)
    loaded = encoders.load_encoders(path)
    assert loaded == example()
    assert list(loaded) == list(example())
    assert [file.name for file in tmp_path.iterdir()] == ["encoders.json"]
    assert "東京物語" in path.read_text(encoding="utf-8")
    x = np.random.default_rng(1).normal(size=(4, 3))
    assert np.array_equal(loaded["numbers"].transform(x), example()["numbers"].transform(x))


def test_a_failed_save_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "encoders.json"
    encoders.save_encoders(example(), path)
    with pytest.raises(ValueError, match="JSON"):
        encoders.save_encoders({"bad": Standardizer((float("nan"),), (1.0,))}, path)
    assert encoders.load_encoders(path) == example()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"x": 3}',
        '{"x": {"type": "LabelEncoder", "values": [1]}}',
        '{"x": {"type": ["Vocabulary"], "values": [1]}}',
        '{"x": {"type": "Vocabulary"}}',
        '{"x": {"type": "Vocabulary", "values": [2, 1]}}',
        '{"x": {"type": "Vocabulary", "values": [1, 1]}}',
        '{"x": {"type": "Vocabulary", "values": [1, "a"]}}',
        '{"x": {"type": "Vocabulary", "values": [true]}}',
        '{"x": {"type": "Vocabulary", "values": []}}',
        '{"x": {"type": "MultiHotVocabulary", "labels": [1]}}',
        '{"x": {"type": "MultiHotVocabulary", "labels": ["b", "a"]}}',
        '{"x": {"type": "Standardizer", "mean": [0], "scale": []}}',
        '{"x": {"type": "Standardizer", "mean": [0], "scale": [-1]}}',
        '{"x": {"type": "Standardizer", "mean": [NaN], "scale": [1]}}',
    ],
)
def test_broken_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "encoders.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"encoders\.json"):
        encoders.load_encoders(path)


def test_missing_file_and_wrong_encoding_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        encoders.load_encoders(tmp_path / "none.json")
    path = tmp_path / "latin.json"
    path.write_bytes(json.dumps({"é": 1}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(DataError, match="not valid JSON"):
        encoders.load_encoders(path)
