"""Questions to the folder of a finished run: answered as the library does, or refused in one line."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels import models, training
from kmodels.features import Categorical
from kmodels.pipelines import Ratings
from kmodels.preprocessing import Vocabulary, save_encoders, splits
from kmodels.serving import Recommender, embedding_table, similar

RECIPE = Path(__file__).parents[2] / "recipes" / "recommend.py"
RNG = np.random.default_rng(0)
USER, ITEM = np.nonzero(RNG.random((30, 12)) < 0.5)
TABLE = pd.DataFrame({"user_id": USER - 3, "item_id": 10 * ITEM, "rating": RNG.integers(1, 6, len(USER)).astype(float)})
# The texts of the first block of users are all missing.
TITLES = [None] * 6 + [f"Title, the {item}th = best" for item in range(6, 12)]
BOOKS = pd.DataFrame({"item_id": np.arange(0, 120, 10), "title": TITLES})


@pytest.fixture(scope="module")
def asked(run_here):
    return partial(run_here, RECIPE)


def recommender(**options):
    rows = np.arange(len(TABLE))
    ratings = Ratings.fit(TABLE, splits.Split(rows, rows[:0], rows[:0]))
    ranker = training.fit_ease(models.ease(ratings.n_items), ratings.interactions(), l2=2.0)
    return Recommender(ratings, **{"ranker": ranker, "items": BOOKS, **options})


@pytest.fixture(scope="module")
def known():
    return recommender()


@pytest.fixture(scope="module")
def folder(known, tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    known.save(path)
    return path


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    """What a recipe leaves that trains embeddings of ids and no recommender."""
    path = tmp_path_factory.mktemp("embeddings")
    ids = {"buyer_id": Vocabulary.fit(range(1, 30)), "product_id": Vocabulary.fit([f"P{i}" for i in range(20)])}
    features = [models.Embedded(Categorical(name, each.size)) for name, each in ids.items()]
    model = training.initialize(models.embedding_regressor([], embeddings=features))
    training.save(model, path / "model.keras")
    save_encoders(ids, path / "encoders.json")
    return path, model, ids


def rows_of(capsys):
    return pd.DataFrame(json.loads(capsys.readouterr().out))


def test_users_and_newcomers_are_answered_as_the_library_does(asked, folder, known, capsys):
    assert asked(folder, "--user", "-2", "--k", 3, "--json") == 0
    expected = known.recommend(-2, k=3).drop(columns="user_id")
    pd.testing.assert_frame_equal(rows_of(capsys), expected, check_dtype=False, rtol=1e-6)
    given = "50=5, Title, the 7th = best=2.5,110=1"
    assert asked(folder, "--ratings", given, "--k", 3, "--json") == 0
    expected = known.recommend_for({50: 5, 70: 2.5, 110: 1}, k=3).drop(columns="person")
    pd.testing.assert_frame_equal(rows_of(capsys), expected, check_dtype=False, rtol=1e-6)


def test_a_table_is_printed_for_readers(asked, folder, known, capsys):
    assert asked(folder, "--user", "5", "--k", 2) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["rank", "item_id", "score", "title"]
    expected = known.recommend(5, k=2)
    assert [line.split()[:3] for line in lines] == [
        [str(row.rank), str(row.item_id), f"{row.score:.4f}"] for row in expected.itertuples()
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_everybodys_recommendations_are_written(asked, folder, known, tmp_path, monkeypatch, capsys, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path, whole = tmp_path / f"all.{suffix}", Recommender.all
    monkeypatch.setattr(Recommender, "all", lambda self, k: whole(self, k, block=7))
    assert asked(folder, "--all", path, "--k", 4) == 0
    assert "120 recommendations for 30 users" in capsys.readouterr().out
    found = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    expected = pd.concat(known.all(4), ignore_index=True)
    pd.testing.assert_frame_equal(
        found.astype({"title": object}), expected.astype({"title": object}), check_dtype=False
    )
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_recommender_says_what_is_alike(asked, folder, known, capsys):
    assert asked(folder, "--similar-to", "70", "--k", 3, "--json") == 0
    expected = known.similar_items(70, k=3).drop(columns="value")
    pd.testing.assert_frame_equal(rows_of(capsys), expected, check_dtype=False, rtol=1e-6)
    assert asked(folder, "--similar-to", "5", "--k", 3, "--json", "--column", "user_id") == 0
    expected = known.similar_users(5, k=3).drop(columns="value")
    pd.testing.assert_frame_equal(rows_of(capsys), expected, check_dtype=False, rtol=1e-6)


@pytest.mark.parametrize(("column", "value"), [("buyer_id", "7"), ("product_id", "P7")])
def test_embeddings_of_another_recipe_say_what_is_alike(asked, embeddings, capsys, column, value):
    path, model, ids = embeddings
    assert asked(path, "--similar-to", value, "--column", column, "--k", 3, "--json") == 0
    expected = similar(
        embedding_table(model, f"{column}_embedding"), ids[column], [int(value) if value == "7" else value], 3
    )
    pd.testing.assert_frame_equal(rows_of(capsys), expected.drop(columns="value"), check_dtype=False, rtol=1e-6)


REFUSED = [
    (["--user", "99"], "the user is unknown; received 99"),
    (["--user", "ann"], "values are not of the learnt kind"),
    (["--user", "5", "--k", "0"], "argument --k: must be a whole number from 1"),
    (["--user", "5", "--k", "13"], "k must be from 1 to 12, the items there are. Received: k=13"),
    (["--user", "5", "--ratings", "50=5"], "not allowed with argument"),
    (["--user", "5", "--column", "user_id"], "--column goes with --similar-to"),
    ([], "one of the arguments --user --ratings --similar-to --all is required"),
    (["--ratings", "50=5,99=4"], "the item is unknown; received 99"),
    (["--ratings", "50=5,No title=4"], "the item is unknown; received 'No title'"),
    (["--ratings", "50=6"], "outside the scale; expected 1 to 5; received 6.0"),
    (["--ratings", "50=5,70=4,50=3"], "--ratings: an item stands twice. Received: 50"),
    (["--ratings", "70=5,Title, the 7th = best=4"], "an item is rated twice"),
    (["--ratings", "50=good"], "--ratings must be ITEM=RATING,ITEM=RATING. Received: '50=good'"),
    (["--ratings", "50"], "--ratings must be ITEM=RATING"),
    (["--ratings", ""], "--ratings must be ITEM=RATING"),
    (["--all", "out.txt"], "--all must be a .parquet or .csv file. Received: .txt"),
    (["--all", "/nowhere/at/all.csv"], "/nowhere/at/all.csv: No such file or directory"),
    (["--similar-to", "99"], "the item is unknown"),
    (["--similar-to", "70", "--k", "12"], "n must be from 1 to 11"),
    (["--similar-to", "70", "--column", "shop_id"], "the run has the ids user_id, item_id. Received: --column shop_id"),
]


def refusal(code, capsys):
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    (line,) = output.err.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(("flags", "message"), REFUSED)
@pytest.mark.first_backend
def test_a_question_without_an_answer_ends_with_2_and_one_line(asked, folder, flags, message, capsys):
    assert message in refusal(asked(folder, *flags), capsys)


@pytest.mark.first_backend
def test_a_run_without_a_ranker_recommends_nothing(asked, tmp_path, capsys):
    rows = np.arange(len(TABLE))
    ratings = Ratings.fit(TABLE, splits.Split(rows, rows[:0], rows[:0]))
    model = training.initialize(models.matrix_factorization(ratings.n_users, ratings.n_items, dim=4))
    Recommender(ratings, model=model).save(tmp_path)
    assert "there is no ranker" in refusal(asked(tmp_path, "--user", "5"), capsys)
    assert asked(tmp_path, "--similar-to", "70", "--k", 3, "--json") == 0
    expected = similar(embedding_table(model, "item_embedding"), ratings.encoders["item_id"], [70], 3)
    pd.testing.assert_frame_equal(rows_of(capsys), expected.drop(columns="value"), check_dtype=False, rtol=1e-6)


@pytest.mark.first_backend
def test_a_folder_of_another_recipe_or_of_none_is_named(asked, embeddings, tmp_path, capsys):
    assert "holds no recommender: there is no recommender.json" in refusal(asked(embeddings[0], "--user", "7"), capsys)
    assert "the run has the ids buyer_id, product_id. Received: no --column" in refusal(
        asked(embeddings[0], "--similar-to", "7"), capsys
    )
    assert str(tmp_path) in refusal(asked(tmp_path, "--user", "7"), capsys)
    assert "encoders.json" in refusal(asked(tmp_path, "--similar-to", "7"), capsys)
    save_encoders(embeddings[2], tmp_path / "encoders.json")
    flags = ["--similar-to", "7", "--column", "buyer_id"]
    assert "holds no finished run: there is no model.keras" in refusal(asked(tmp_path, *flags), capsys)
    (tmp_path / "model.keras").write_bytes(b"half a mo")
    assert str(tmp_path / "model.keras") in refusal(asked(tmp_path, *flags), capsys)
