import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from kmodels.errors import DataError
from kmodels.evaluation import classification as evaluation
from kmodels.report import canvas, classification

LABELS = ["coat", "shirt", "boot"]


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 300)
    share = evaluation.softmax(rng.normal(size=(300, 3)) + 2 * np.eye(3)[true])
    return true, share


def test_a_confusion_matrix_shows_counts_and_shares_of_the_true_class():
    figure = classification.confusion_matrix([[8, 2, 0], [1, 4, 5], [0, 0, 10]], LABELS)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts][:3] == ["8\n80 %", "2\n20 %", "0\n0 %"]
    shades = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shades**2, [[0.8, 0.2, 0], [0.1, 0.4, 0.5], [0, 0, 1]], atol=1e-12)
    assert axes.get_title(loc="left") == "Confusion: 73.3 % right"
    assert [label.get_text() for label in axes.get_yticklabels()] == LABELS


def test_a_confusion_matrix_of_many_classes_is_colour_alone():
    figure = classification.confusion_matrix(np.eye(60, dtype=int), [f"class {at}" for at in range(60)])
    assert len(figure.axes[0].texts) == 0
    assert len(figure.axes[0].get_xticklabels()) == 30


@pytest.mark.parametrize("matrix", [[[1, 2]], np.zeros((3, 3)), np.ones((2, 2)), 5])
def test_what_is_no_confusion_matrix_is_refused(matrix):
    with pytest.raises(DataError, match="not a confusion matrix"):
        classification.confusion_matrix(matrix, LABELS)


def test_the_calibration_curve_states_the_error_that_the_metrics_state(predictions):
    figure = classification.calibration_curve(evaluation.calibration(*predictions))
    error = evaluation.evaluate(*predictions)["ece"]
    assert f"calibration error {error:.3f}" in [text.get_text() for text in figure.axes[0].texts]
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == pytest.approx(100)


def test_the_interval_of_a_band_is_wilsons():
    bands = pd.DataFrame({"confidence": [0.9], "accuracy": [0.5], "count": [10]})
    (lines,) = classification.calibration_curve(bands).axes[0].collections
    np.testing.assert_allclose(lines.get_segments()[0][:, 1], [0.2366, 0.7634], atol=1e-4)  # 5 of 10, a known case


def test_a_calibration_without_bands_is_refused():
    bands = pd.DataFrame({"confidence": [0.9], "accuracy": [0.5], "count": [10]})
    with pytest.raises(DataError, match="'count'"):
        classification.calibration_curve(bands[["confidence", "accuracy"]])
    with pytest.raises(DataError, match="no band"):
        classification.calibration_curve(bands[:0])


def test_the_hardest_pictures_come_first_and_mistakes_in_colour():
    pictures = np.arange(4, dtype="uint8")[:, None, None] * np.ones((1, 5, 5), "uint8")
    share = np.array([[0.6, 0.4, 0.0], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4], [0.2, 0.7, 0.1]])
    figure = classification.hardest(pictures, [0, 1, 2, 0], share.argmax(axis=1), share, LABELS, n=3)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel() for axes in shown] == ["shirt\ncoat 90 %", "coat\nshirt 70 %", "boot\nboot 40 %"]
    assert [int(np.asarray(axes.images[0].get_array())[0, 0]) for axes in shown] == [1, 3, 2]
    assert [axes.xaxis.label.get_color() for axes in shown] == [canvas.ORANGE, canvas.ORANGE, canvas.INK]


@pytest.mark.parametrize("shape", [(6, 8, 8, 1), (6, 8, 8, 3)])
def test_pictures_may_have_channels(shape):
    pictures = np.random.default_rng(0).random(shape)
    share = np.full((6, 3), 1 / 3)
    figure = classification.hardest(pictures, [0] * 6, [0] * 6, share, LABELS, n=6)
    assert sum(axes.get_visible() for axes in figure.axes) == 6


def test_pictures_and_classes_must_go_together():
    with pytest.raises(DataError, match=r"differ in length.*\(2, 1, 1, 1\)"):
        classification.hardest(np.zeros((2, 4, 4)), [0], [0], [[1, 0, 0]], LABELS)


def test_a_model_that_learned_nothing_is_told_apart():
    assert classification.learned_nothing("net", [0] * 97 + [1] * 3, LABELS) is None
    words = classification.learned_nothing("net", [1] * 995 + [0] * 5, LABELS)
    assert words == "net predicts 'shirt' for 99.5 % of the rows: it has learned nothing."


def test_the_standard_pictures_of_one_model(tmp_path, predictions):
    (tmp_path / "plots").mkdir()
    true, share = predictions
    record = {
        "model": {"name": "cnn"},
        "test": evaluation.evaluate(true, share),
        "baselines": {"majority": {"accuracy": 0.3}},
    }
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "val_loss": [1.0, 0.6], "seconds": [1.0, 1.0]})
    pictures, section = classification.draw(
        tmp_path, record, true, share, LABELS, history=history, pictures=np.zeros((300, 4, 4)), floors={"Bayes": 0.99}
    )
    kinds = ["bars", "loss", "confusion", "calibration", "roc", "precision_recall", "hardest"]
    assert [picture.path.stem for picture in pictures] == kinds
    for picture in pictures:
        assert picture.caption
        assert np.asarray(Image.open(picture.path).convert("L")).std() > 5
    assert section.title == "Class by class"
    assert all(label in section.body for label in LABELS)


def test_of_variants_no_bars_are_drawn_and_a_threshold_decides(tmp_path, monkeypatch):
    (tmp_path / "plots").mkdir()
    share = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    true = np.array([0, 1, 1, 0])
    seen, confusion_matrix_picture = [], classification.confusion_matrix

    def keep(matrix, labels):
        seen.append(matrix)
        return confusion_matrix_picture(matrix, labels)

    monkeypatch.setattr(classification, "confusion_matrix", keep)
    record = {"variants": {"net": {"model": {"name": "net"}}}, "best": "net"}
    pictures, _ = classification.draw(tmp_path, record, true, share, ["loss", "profit"], threshold=0.35)
    assert [picture.path.stem for picture in pictures] == ["confusion", "calibration", "roc", "precision_recall"]
    np.testing.assert_array_equal(seen[0], confusion_matrix(true, [0, 1, 1, 0]))
