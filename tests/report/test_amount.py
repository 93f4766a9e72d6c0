import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.report import amount

HISTORY = pd.DataFrame({"epoch": [1, 2], "loss": [9.0, 8.0], "val_loss": [9.0, 8.5]})


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The figures by name, instead of files."""
    figures = {}

    def keep(figure, path):
        figures[path.stem] = figure
        return path

    monkeypatch.setattr(amount.canvas, "save", keep)
    return figures


def record(unit):
    return {
        "variants": {"net": {"model": {"name": "net"}, "test": {"rmse": 2500.5}}},
        "best": "net",
        "baselines": {"mean": {"rmse": 4912.1}, "majority": {"accuracy": 0.1}},
        "data": {"unit": unit},
    }


def test_amounts_carry_their_unit_on_every_axis(tmp_path, drawn):
    rng = np.random.default_rng(0)
    true = rng.uniform(12, 23_961, 500)
    pictures = amount.draw(tmp_path, record("INR"), HISTORY, true, true + rng.normal(0, 2500, 500))
    assert [picture.path.stem for picture in pictures] == ["rmse", "loss", "scatter", "errors", "residuals"]
    assert drawn["rmse"].axes[0].get_xlabel() == "RMSE (INR), lower is better"
    assert [text.get_text() for text in drawn["rmse"].axes[0].texts][2] == "4,912  (+2,412)"
    assert drawn["scatter"].axes[0].get_xlabel() == "true (INR)"
    assert drawn["errors"].axes[0].get_xlabel() == "error: predicted − true (INR)"
    assert drawn["residuals"].axes[0].get_xlabel() == "predicted (INR)"
    assert drawn["loss"].axes[0].get_ylabel() == "loss"
    assert not any("stars" in picture.title + picture.caption for picture in pictures)


def test_a_history_with_an_error_is_drawn_by_it(tmp_path, drawn):
    history = HISTORY.assign(rmse=[0.5, 0.4], val_rmse=[0.6, 0.5])
    amount.draw(tmp_path, record(""), history, [1.0, 2.0], [1.5, 2.5])
    assert drawn["loss"].axes[0].get_ylabel() == "RMSE, normalised"
    np.testing.assert_array_equal(drawn["loss"].axes[0].lines[1].get_ydata(), [0.6, 0.5])


def test_arrays_of_other_lengths_are_refused(tmp_path, drawn):
    with pytest.raises(DataError, match="wrong shape"):
        amount.draw(tmp_path, record("INR"), HISTORY, [1.0, 2.0], [1.5])
