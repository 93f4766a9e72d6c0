import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA

from kmodels.errors import DataError
from kmodels.report import canvas
from kmodels.report.embeddings import embedding_map

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 5)) * [3, 2, 1, 1, 1]


def points(figure):
    return np.concatenate([shown.get_offsets() for shown in figure.axes[0].collections])


def test_the_plane_is_that_of_scikit_learns_pca_of_the_directions():
    figure = embedding_map(VECTORS, np.arange(60.0), "age")
    units = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    pca = PCA(2).fit(units)
    np.testing.assert_allclose(np.abs(points(figure)), np.abs(pca.transform(units)), atol=1e-9)
    share = 100 * pca.explained_variance_ratio_
    assert figure.axes[0].get_xlabel() == f"first direction ({share[0]:.0f} % of the variance)"
    assert figure.axes[0].get_ylabel() == f"second direction ({share[1]:.0f} %)"


def test_each_category_has_its_colour_and_its_points():
    labels = np.array(["F", "M", "M"] * 20)
    figure = embedding_map(VECTORS, labels, "gender")
    shown = {each.get_label(): each for each in figure.axes[0].collections}
    assert {name: len(each.get_offsets()) for name, each in shown.items()} == {"F": 20, "M": 40}
    assert [to_hex(each.get_facecolor()[0]).upper() for each in shown.values()] == list(canvas.PALETTE[:2])
    everyone = points(embedding_map(VECTORS, np.zeros(60), "none"))
    np.testing.assert_allclose(shown["F"].get_offsets(), everyone[labels == "F"])


def test_rare_categories_share_one_colour():
    labels = np.repeat([f"job {i}" for i in range(10)], [20, 10, 8, 6, 5, 4, 3, 2, 1, 1])
    figure = embedding_map(VECTORS, labels, "job")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*(f"job {i}" for i in range(7)), "other"]
    assert len(points(figure)) == 60


def test_many_vectors_are_thinned_out_and_the_picture_says_so():
    figure = embedding_map(RNG.normal(size=(50_000, 2)), np.zeros(50_000), "none")
    assert len(points(figure)) == 20_000
    assert figure.axes[0].texts[0].get_text() == "20,000 of 50,000"


@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (VECTORS, [1, 2], "wrong shape"),
        (VECTORS[:, :1], np.zeros(60), "wrong shape"),
        (np.where(np.eye(60, 5) > 0, np.nan, VECTORS), np.zeros(60), "row 1: not finite"),
    ],
)
def test_bad_input_is_named(vectors, labels, message):
    with pytest.raises(DataError, match=message):
        embedding_map(vectors, labels, "x")
