"""What the pictures of explanations show, and the arrays they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import canvas, explanation

RNG = np.random.default_rng(0)
LABELS = ["low", "medium", "high"]
N = 9
EXAMPLES = {
    "pictures": RNG.integers(0, 256, (N, 16, 16, 3), dtype=np.uint8),
    "maps": RNG.random((N, 4, 4)),
    "true": np.arange(N) % 3,
    "predicted": np.where(np.arange(N) < 5, np.arange(N) % 3, (np.arange(N) + 1) % 3),
    "probability": np.tile([0.2, 0.3, 0.5], (N, 1)),
    "labels": LABELS,
}


def captions(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_gallery_shows_the_first_right_and_wrong_ones_in_order():
    figure = explanation.gallery(**EXAMPLES, each=3)
    assert captions(figure) == [
        "predicted low, 20 %\nis low",
        "predicted medium, 30 %\nis medium",
        "predicted high, 50 %\nis high",
        "predicted low, 20 %\nis high",
        "predicted medium, 30 %\nis low",
        "predicted high, 50 %\nis medium",
    ]
    headings = [part.get_suptitle() for part in figure.subfigs]
    assert headings == ["Predicted right: 5 of 9", "Predicted wrong: 4 of 9"]
    plain = [axes.images[0].get_array() for axes in figure.axes[0::2]]
    for shown, row in zip(plain, [0, 1, 2, 5, 6, 7], strict=True):
        np.testing.assert_array_equal(shown, EXAMPLES["pictures"][row])


def test_gallery_colours_the_heat_on_a_grey_picture():
    picture = np.full((1, 16, 16, 3), [200, 50, 50], np.uint8)
    heat = np.zeros((1, 16, 16))
    heat[0, :, 8:] = 1
    figure = explanation.gallery(picture, heat, [0], [0], [[1.0, 0.0]], ["no", "yes"])
    covered = figure.axes[1].images[0].get_array()
    assert len(set(covered[0, 2].tolist())) == 1
    red, _, blue = covered[0, 13].astype(int)
    assert red > blue + 50


def test_gallery_without_a_wrong_one_and_with_grey_pictures():
    right = EXAMPLES | {"predicted": EXAMPLES["true"], "pictures": EXAMPLES["pictures"][..., :1]}
    figure = explanation.gallery(**right)
    assert len(figure.axes) == 8
    assert figure.subfigs[1].get_suptitle() == "Predicted wrong: 0 of 9"
    assert figure.get_size_inches()[1] < explanation.gallery(**EXAMPLES).get_size_inches()[1]
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": EXAMPLES["pictures"] / 255}, "column 'pictures'"),
        ({"pictures": EXAMPLES["pictures"][:0]}, "column 'pictures'"),
        ({"maps": EXAMPLES["maps"][:2]}, "column 'maps'"),
        ({"maps": EXAMPLES["maps"] * 2}, "0 to 1"),
        ({"probability": EXAMPLES["probability"][:, 0]}, "column 'probability'"),
        ({"true": EXAMPLES["true"] + 1}, "column 'true': a class has no label"),
        ({"predicted": EXAMPLES["predicted"][:3]}, "column 'predicted'"),
        ({"predicted": EXAMPLES["predicted"] + 0.5}, "integers"),
    ],
)
def test_gallery_refuses_what_does_not_fit(change, message):
    with pytest.raises(DataError, match=message):
        explanation.gallery(**(EXAMPLES | change))
    with pytest.raises(ConfigurationError, match="each=0"):
        explanation.gallery(**EXAMPLES, each=0)


def test_long_labels_are_cut_so_that_captions_do_not_meet():
    labels = ["a very long name of a class", "T-shirt / top and more", "Wholesale warehouse"]
    figure = explanation.gallery(**(EXAMPLES | {"labels": labels}))
    figure.canvas.draw()
    assert captions(figure)[0] == "predicted a very long n…, 20 %\nis a very long n…"
    for left, right in zip(figure.axes[0::4], figure.axes[2::4], strict=True):
        assert left._left_title.get_window_extent().x1 < right._left_title.get_window_extent().x0


def importances():
    return pd.DataFrame({"group": ["image", "tier", "tags"], "mean": [0.3, 0.01, -0.02], "std": [0.02, 0.001, 0.01]})


def test_importance_bars_are_as_long_as_the_means_with_grey_below_zero():
    (axes,) = explanation.importance_bars(importances(), measure="logits").axes
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.01, -0.02]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        canvas.BLUE.lower(),
        canvas.BLUE.lower(),
        canvas.GREY.lower(),
    ]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["0.300 ± 0.020", "image", "0.010 ± 0.001", "tier", "−0.020 ± 0.010", "tags"]
    assert axes.get_xlabel() == "logits"
    whiskers = axes.collections[0].get_segments()
    np.testing.assert_allclose(whiskers[0][:, 0], [0.28, 0.32])


def test_importance_bars_of_nothing_and_of_bad_frames():
    nothing = importances().assign(mean=0.0, std=0.0)
    explanation.importance_bars(nothing).canvas.draw()
    with pytest.raises(DataError, match="column 'std'"):
        explanation.importance_bars(importances().drop(columns="std"))
    with pytest.raises(DataError, match="wrong shape"):
        explanation.importance_bars(importances()[:0])
    with pytest.raises(DataError, match="row 2, column 'mean'"):
        explanation.importance_bars(importances().assign(mean=[1.0, np.nan, 0.0]))


def test_shap_bars_are_stacked_by_class_and_sorted():
    values = np.array([[[1.0, -2.0], [4.0, 0.0]], [[-3.0, 2.0], [6.0, 0.0]]])
    (axes,) = explanation.shap_bars(values, ["tier", "tags"], ["low", "high"], unit="logit").axes
    drawn = [(round(bar.get_y()), bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert drawn == [(0, 0, 5), (1, 0, 2), (0, 5, 0), (1, 2, 2)]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["5.000", "tags", "4.000", "tier", "■ low", "■ high"]


def test_shap_bars_of_many_classes_are_one_bar_each():
    values = RNG.normal(size=(5, 2, 10))
    (axes,) = explanation.shap_bars(values, ["a", "b"], [str(label) for label in range(10)]).axes
    assert sorted(bar.get_width() for bar in axes.patches) == pytest.approx(sorted(np.abs(values).mean(0).sum(1)))
    for wrong in (values[:0], values[0], values * np.nan, values[:, :1]):
        with pytest.raises(DataError):
            explanation.shap_bars(wrong, ["a", "b"], [str(label) for label in range(10)])


def test_text_stays_inside_the_picture():
    figures = [
        explanation.gallery(**(EXAMPLES | {"labels": ["Ankle boot", "T-shirt/top", "Pullover"]})),
        explanation.importance_bars(importances()),
        explanation.importance_bars(importances().assign(mean=-importances()["mean"])),
        explanation.shap_bars(RNG.normal(size=(5, 3, 3)), ["categories", "tier", "tags"], LABELS),
    ]
    for figure in figures:
        figure.canvas.draw()
        for axes in figure.axes:
            texts = [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
            for text in (text for text in texts if text.get_text()):
                box = text.get_window_extent()
                assert box.x0 >= -1, text.get_text()
                assert box.x1 <= figure.bbox.width + 1, text.get_text()
                assert box.y1 <= figure.bbox.height + 1, text.get_text()
