import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from kmodels import files, models, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import Vocabulary
from kmodels.serving import embedding_table, neighbours, similar
from tests.mutation import mutations

RNG = np.random.default_rng(0)


def table_of(rows, dim=8, dtype=np.float32):
    return RNG.normal(size=(rows, dim)).astype(dtype)


@pytest.mark.parametrize(("rows_at_a_time", "queries_at_a_time"), [(65_536, 1024), (37, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_are_those_of_scikit_learn(monkeypatch, rows_at_a_time, queries_at_a_time, dtype):
    monkeypatch.setattr(neighbours, "_MOST_ROWS", rows_at_a_time)
    monkeypatch.setattr(neighbours, "_QUERIES", queries_at_a_time)
    table = table_of(501, dtype=dtype)
    values = [int(value) for value in RNG.permutation(np.arange(1001, 1501))[:40]]
    found = similar(table, Vocabulary.fit(range(1001, 1501)), values, n=7)
    index = NearestNeighbors(n_neighbors=8, metric="cosine", algorithm="brute").fit(table[1:].astype(float))
    distance, place = index.kneighbors(table[np.array(values) - 1000].astype(float))
    assert found["value"].tolist() == np.repeat(values, 7).tolist()
    assert found["rank"].tolist() == [*range(1, 8)] * 40
    np.testing.assert_array_equal(found["neighbour"].to_numpy().reshape(40, 7), place[:, 1:] + 1001)
    np.testing.assert_allclose(found["similarity"].to_numpy().reshape(40, 7), 1 - distance[:, 1:], atol=1e-9)


@pytest.mark.parametrize("rows_at_a_time", [65_536, 3])
def test_ties_go_to_the_smaller_id_whatever_the_blocks(monkeypatch, rows_at_a_time):
    monkeypatch.setattr(neighbours, "_MOST_ROWS", rows_at_a_time)
    vector = RNG.normal(size=8)
    # Parallel vectors of all lengths: every cosine is 1, but for rounding.
    table = np.outer(np.r_[0.0, RNG.uniform(0.1, 9, 20)], vector).astype(np.float32)
    found = similar(table, Vocabulary.fit(range(1, 21)), [1, 9], n=5)
    assert found["neighbour"].tolist() == [2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(found["similarity"], 1, atol=1e-6)


def test_nearly_equal_vectors_are_told_apart_although_float32_cosines_are_not():
    table = np.zeros((5, 3))
    table[1] = [1, 0, 0]
    for row, tilt in ((2, 3e-5), (3, 1e-5), (4, 2e-5)):
        table[row] = [1, tilt, 0]
    found = similar(table, Vocabulary.fit([1, 2, 3, 4]), [1], n=3)
    assert found["neighbour"].tolist() == [3, 4, 2]


def test_vectors_whose_squares_leave_float32_are_compared_as_others_are():
    table = table_of(40)
    scaled = table * np.float32(10) ** RNG.integers(-25, 26, (40, 1)).astype(np.float32)
    expected, found = (similar(each, Vocabulary.fit(range(1, 40)), [3, 7], n=5) for each in (table, scaled))
    pd.testing.assert_frame_equal(found, expected, atol=1e-6)


def test_a_sparse_table_has_the_neighbours_of_a_dense_one(monkeypatch):
    monkeypatch.setattr(neighbours, "_MOST_ROWS", 13)
    table = np.where(RNG.random((60, 30)) < 0.2, RNG.random((60, 30)), 0).astype(np.float32)
    expected = similar(table, Vocabulary.fit(range(1, 60)), [3, 7], n=5)
    found = similar(sparse.csr_array(table), Vocabulary.fit(range(1, 60)), [3, 7], n=5)
    pd.testing.assert_frame_equal(found, expected)


def test_neither_the_unknown_row_nor_the_asked_user_is_found():
    table = table_of(6)
    table[0] = 5 * table[3]
    found = similar(table, Vocabulary.fit(range(1, 6)), [3], n=4)
    assert sorted(found["neighbour"]) == [1, 2, 4, 5]


def test_a_vector_of_zeros_is_like_no_other():
    table = np.array([[0, 0], [0, 0], [1, 0], [-1, 0.0]], np.float32)
    found = similar(table, Vocabulary.fit(["a", "b", "c"]), ["b", "a"], n=2)
    assert found["neighbour"].tolist() == ["a", "c", "b", "c"]
    assert found["similarity"].tolist() == [0.0, -1.0, 0.0, 0.0]


def test_planted_groups_are_found():
    centres = RNG.normal(size=(5, 16))
    group = np.arange(200) % 5
    table = np.vstack([np.zeros(16), centres[group] + 0.3 * RNG.normal(size=(200, 16))]).astype(np.float32)
    found = similar(table, Vocabulary.fit(range(200)), range(200), n=10)
    assert (group[found["neighbour"]] == group[found["value"]]).mean() > 0.95


@pytest.mark.parametrize("n", [0, 5, 99])
def test_an_n_that_cannot_be_is_refused(n):
    with pytest.raises(ConfigurationError, match=f"n must be from 1 to 4, .* Received: n={n}"):
        similar(table_of(6), Vocabulary.fit(range(1, 6)), [3], n=n)


def test_an_id_that_did_not_occur_is_named():
    with pytest.raises(DataError, match=r"row 2: an id did not occur in training.*received 77"):
        similar(table_of(6), Vocabulary.fit(range(1, 6)), [3, 77], n=2)


def test_a_table_of_another_vocabulary_and_a_broken_one_are_refused():
    with pytest.raises(DataError, match=r"not of this vocabulary; expected numbers of shape \(6, dim\)"):
        similar(table_of(7), Vocabulary.fit(range(1, 6)), [3], n=2)
    broken = table_of(6)
    broken[4, 2] = np.nan
    with pytest.raises(DataError, match="row 5: a vector is not finite"):
        similar(broken, Vocabulary.fit(range(1, 6)), [3], n=2)


def test_the_table_is_the_models():
    model = models.neumf(5, 4, dim=3)
    training.initialize(model, 0)
    table = embedding_table(model, "item_embedding")
    assert (table.shape, table.dtype) == ((4, 3), np.float32)
    np.testing.assert_array_equal(table, model.get_layer("item_embedding").get_weights()[0])
    with pytest.raises(ConfigurationError, match=r"user_embedding, item_embedding. Received: layer='film_embedding'"):
        embedding_table(model, "film_embedding")


def test_what_is_held_beside_the_table_hardly_grows_with_it():
    asked, peaks = np.arange(1, 201), []
    tables = [RNG.standard_normal((rows, 64), dtype=np.float32) for rows in (80_000, 240_000)]
    for table in tables:
        tracemalloc.start()
        neighbours.search(table, asked, 10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 100e6
    assert peaks[1] - peaks[0] < 0.1 * (tables[1].nbytes - tables[0].nbytes)


def test_damaged_vectors_are_refused_or_find_what_they_found(tmp_path):
    path, vocabulary, refused = tmp_path / "vectors.npz", Vocabulary.fit(range(1, 30)), []
    files.write_arrays(path, {"user_id": table_of(30), "item_id": table_of(9)})
    content, expected = path.read_bytes(), similar(files.read_arrays(path)["user_id"], vocabulary, [3], n=5)
    for damaged in mutations(content, 300):
        path.write_bytes(damaged)
        try:
            found = similar(files.read_arrays(path)["user_id"], vocabulary, [3], n=5)
        except DataError as error:
            refused.append(str(error))
            continue
        pd.testing.assert_frame_equal(found, expected)
    assert len(refused) > 200
    assert all(str(path) in each for each in refused)


@pytest.mark.parametrize("table", [np.full((6, 3), "a"), np.ones((6, 3), complex), np.ones((6, 0)), np.ones((6, 3, 1))])
def test_what_is_no_table_of_vectors_is_refused(table):
    with pytest.raises(DataError, match="not of this vocabulary"):
        similar(table, Vocabulary.fit(range(1, 6)), [3], n=2)
