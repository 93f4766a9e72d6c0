"""Vocabularies and quantiles: what they map and refuse; and that a saved file reloads to equal encoders."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import (
    Category,
    Clusters,
    Id,
    Number,
    TableEncoder,
    Tags,
    Target,
    TargetMean,
    Vocabulary,
    load_encoders,
    save_encoders,
)


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


# --- quantiles


@pytest.mark.parametrize("bins", [2, 3, 7])
def test_quantiles_are_those_of_qcut(bins):
    values = np.random.default_rng(0).lognormal(size=500).round(2)
    fitted = Target.quantiles(values, [f"level {i}" for i in range(bins)])
    classes = fitted.transform(values)
    assert (classes.dtype, fitted.size) == (np.int32, bins)
    assert classes.tolist() == pd.qcut(values, bins, labels=False).tolist()


def test_amounts_beyond_the_fitted_range_and_on_an_edge():
    fitted = Target.quantiles([0, 1, 2, 3, 4, 5, 6], ["low", "middle", "high"])
    assert fitted.edges == (2.0, 4.0)
    assert fitted.transform([-1e9, 2, 2.0000001, 4, 1e9]).tolist() == [0, 0, 1, 1, 2]
    assert fitted.transform(np.array([], float)).tolist() == []
    assert fitted.inverse([2, 0]).tolist() == ["high", "low"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "no amounts to learn"),
        ([1.0, np.nan, 2.0], "row 2, column 'target': an amount is missing"),
        (pd.Series([1.0, np.inf]), "row 2, column 'target'"),
        (np.ones((1, 2)), "not a column"),
        (["a", "b", "c"], "not a number"),
        ([5.0] * 9, r"expected 3 classes with rows in each; received 'rows per class \[9, 0, 0\]'"),
        ([1.0] * 8 + [2.0], "too many values are equal"),
    ],
)
def test_quantiles_refuse(values, words):
    with pytest.raises(DataError, match=words):
        Target.quantiles(values, ["low", "middle", "high"])


def test_one_quantile_is_refused():
    with pytest.raises(ConfigurationError, match="two labels or more"):
        Target.quantiles([1.0, 2.0], ["all"])


# --- files


def example():
    frame = pd.DataFrame({"a": [1.0, 2.5, np.nan], "b": ["x", "y", "x"], "tiny": [1e-9, 2e-9, 5e-9]})
    return {
        "user_id": Vocabulary.fit([10, 2, 33]),
        "title": Vocabulary.fit(["Amélie", "東京物語", 'a "quoted" one']),
        "table": TableEncoder.fit(frame),
        "level": Target.quantiles(np.random.default_rng(0).normal(size=9), ["low", "high"]),
        "amount": Target.amount([0.1, 0.7]),
    }


def test_saved_encoders_reload_equal(tmp_path):
    path = tmp_path / "encoders.json"
    save_encoders({"old": Vocabulary.fit([1])}, path)
    save_encoders(example(), path)
    loaded = load_encoders(path)
    assert loaded == example()
    assert list(loaded) == list(example())
    assert [file.name for file in tmp_path.iterdir()] == ["encoders.json"]
    assert "東京物語" in path.read_text(encoding="utf-8")
    for name, encoder in example().items():
        encoder.save(path)
        assert type(encoder).load(path) == encoder, name


def test_a_failed_save_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "encoders.json"
    save_encoders(example(), path)
    with pytest.raises(ValueError, match="JSON"):
        save_encoders({"bad": Target(labels=("a", "b"), edges=(float("nan"),))}, path)
    assert load_encoders(path) == example()


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
        '{"x": {"type": "Target", "labels": ["a"]}}',
        '{"x": {"type": "Target", "labels": ["a", "b", "c"], "edges": [1.0]}}',
        '{"x": {"type": "Target", "labels": ["a", "b", "c"], "edges": [2.0, 1.0]}}',
        '{"x": {"type": "Target", "labels": ["a", "b"], "edges": ["1"]}}',
        '{"x": {"type": "Target", "mean": 0}}',
        '{"x": {"type": "Target", "mean": 0, "scale": -1}}',
        '{"x": {"type": "Target", "mean": NaN, "scale": 1}}',
        '{"x": {"type": "TableEncoder", "numbers": "numbers", "columns": {}}}',
    ],
)
def test_broken_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "encoders.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"encoders\.json"):
        load_encoders(path)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([True, False, True], ("False", "True")),
        ([0, 1] * 10, (0, 1)),
        ([1.0, 2.0, 3.0] * 10, (1, 2, 3)),
        (list(range(20)) * 10, tuple(range(20))),
        (list(range(20)) * 9, ()),  # fewer than ten rows of each
        (list(range(21)) * 20, ()),
        ([0.5, 1.0] * 20, ()),
        (pd.Categorical([3, 4, 3]), (3, 4)),
    ],
)
def test_a_target_is_of_classes_or_amounts_by_its_values(values, labels):
    assert Target.infer(pd.Series(values, name="y")).labels == labels


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.5, None, 2.5], "row 2, column 'y': an amount is missing"),
        ([1.5, np.inf, 2.5], "row 2, column 'y': out of range; expected a finite number; received inf"),
        (["a", None, "b"], "row 2, column 'y': a label is missing"),
        (["a", "a"], "the target is constant"),
        ([2.5, 2.5], "the target is constant"),
        ([None, None], "column 'y': no target to predict; expected classes or amounts; received 'no value'"),
        ([f"name {each}" for each in range(30)], "no target to predict.*nearly every value differs"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "no target to predict.*'Date'"),
        ([*map(str, range(99)), "many"], "row 100, column 'y': text in a column of numbers"),
    ],
)
def test_what_is_no_target_is_refused(values, message):
    with pytest.raises(DataError, match=message):
        Target.infer(pd.Series(values, name="y"))


@pytest.mark.parametrize("kind", [Target.amount, Target.classes])
def test_errors_of_a_target_have_the_name_of_its_column(kind):
    with pytest.raises(DataError, match="row 2, column 'income'"):
        kind(pd.Series(["1", None], name="income"))
    with pytest.raises(DataError, match="row 2, column 'target'"):
        kind(["1", None])


def every_kind():
    """Encoders of every type, and a table with a column of every kind."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=40),
            "b": rng.choice(["x", "y", "z"], 40),
            "c": rng.choice([3, 5], 40),
            "d": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 40), "D"),
            "e": rng.choice(["p|q", "q", ""], 40),
            "f": rng.choice(list("klmn"), 40),
            "g": 1,
        }
    )
    kinds = {"c": Category(one_hot=True), "e": Tags(), "f": TargetMean(), "who": Id(of="b")}
    kinds |= {"count": Tags(count=True, of="e"), "near": Clusters(of=("a", "c"), clusters=2), "a": Number(log=False)}
    with pytest.warns(UserWarning, match="'g' is left out"):
        table = TableEncoder.fit(frame, columns=kinds, target=rng.normal(size=40))
    return {**example(), "every": table, "kind": Target.classes(["no", "yes"])}


def positions(value, path=()):
    """Where the values of a JSON document are."""
    yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from positions(each, (*path, key))


def mutated(document, rng):
    """The document's text with one value of another type, a key less, more or renamed, too large, too deep, or cut."""
    document = json.loads(json.dumps(document))
    path = list(positions(document))[1:]
    # Another value there, or a column less, makes a document of another encoder.
    path = [each for each in path if each[-1] not in ("of", "flag_missing")]
    path = path[rng.integers(len(path))]
    has_fields = len(path) > 1 and path[-2] != "columns"
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    old, how = parent[path[-1]], rng.choice(["type", "delete", "rename", "add", "huge", "deep", "cut", "byte"])
    new = [
        None,
        True,
        -7,
        0.5,
        "text",
        "\ud800",
        [],
        ["text"],
        [[]],
        {},
        {"text": 1},
        10**400,
        float("inf"),
        float("nan"),
    ]
    new = [each for each in new if type(each) is not type(old) and {type(each), type(old)} != {int, float}]
    if how == "delete" and isinstance(parent, dict) and has_fields:
        del parent[path[-1]]
    elif how == "rename" and isinstance(parent, dict) and has_fields:
        parent[f"{path[-1]}_"] = parent.pop(path[-1])
    elif how == "add" and isinstance(old, dict):
        old["more"] = 1
    elif how == "huge" and type(old) in (int, float):
        parent[path[-1]] = [10**400, -(10**400), float("inf"), float("nan"), int("9" * 4000)][rng.integers(5)]
    elif how == "deep":
        parent[path[-1]] = "@"
        depth = int(rng.integers(1, 200_000))
        return json.dumps(document).replace('"@"', "[" * depth + "]" * depth).encode()
    else:
        parent[path[-1]] = new[rng.integers(len(new))]
    text = json.dumps(document).encode()
    place = int(rng.integers(len(text) - 1))
    if how == "cut":
        return text[:place]
    return text[:place] + bytes([rng.choice([0, 31, 128, 255])]) + text[place:] if how == "byte" else text


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_refused_or_holds_the_same(tmp_path, seed):
    encoders, path = every_kind(), tmp_path / "encoders.json"
    save_encoders(encoders, path)
    assert load_encoders(path) == encoders
    document, rng = json.loads(path.read_text(encoding="utf-8")), np.random.default_rng(seed)
    for _ in range(20):
        path.write_bytes(mutated(document, rng))
        message = f"{path}: a message"
        try:
            assert load_encoders(path) == encoders
        except DataError as error:
            message = str(error)
        assert message.startswith(str(path))
        assert message.isprintable()
        assert len(message) < 1000


def test_missing_file_and_wrong_encoding_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        load_encoders(tmp_path / "none.json")
    path = tmp_path / "latin.json"
    path.write_bytes(json.dumps({"é": 1}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(DataError, match="not valid JSON"):
        load_encoders(path)
