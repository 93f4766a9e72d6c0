import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.report import search

PARAMETERS = ["rate", "units", "kind"]


@pytest.fixture
def trials():
    rng = np.random.default_rng(0)
    n = 30
    rate = 10 ** rng.uniform(-4, -1, n)
    table = pd.DataFrame(
        {
            "trial": np.arange(1, n + 1),
            "status": "completed",
            "val_rmse": 0.9 + 0.05 * (np.log10(rate) + 2.5) ** 2,
            "epoch": 4.0,
            "epochs": 5.0,
            "seconds": 6.0,
            "reason": "",
            "rate": rate,
            "units": rng.integers(1, 64, n),
            "kind": rng.choice(["relu", "tanh"], n),
        }
    )
    table.loc[3, ["status", "val_rmse", "reason"]] = ["failed", np.nan, "MemoryError: 80 <GiB>"]
    return table


def test_progress_steps_down_to_the_best_and_marks_failures(trials):
    axes = search.progress(trials, "val_rmse").axes[0]
    steps = axes.lines[0].get_ydata()
    assert steps[-1] == trials["val_rmse"].min()
    assert (np.diff(steps) <= 0).all()
    assert len(steps) == 29
    assert axes.collections[1].get_offsets()[:, 0].tolist() == [4]
    upwards = search.progress(trials, "val_rmse", direction="max").axes[0].lines[0].get_ydata()
    assert upwards[-1] == trials["val_rmse"].max()


def test_each_hyper_parameter_has_its_panel_and_scale(trials):
    panels = search.against_objective(trials, PARAMETERS, "val_rmse").axes
    assert [axes.get_xscale() for axes in panels] == ["log", "linear", "linear"]
    assert [len(axes.collections[0].get_offsets()) for axes in panels] == [29, 29, 29]


def test_importance_finds_what_the_objective_was_made_of(trials):
    found = search.importance(trials, PARAMETERS, "val_rmse")
    assert found["parameter"].iloc[0] == "rate"
    assert found["importance"].iloc[0] > 10 * found["importance"].iloc[1]
    assert search.importance(trials.head(5), PARAMETERS, "val_rmse").empty


def test_the_best_tenth_stands_out(trials):
    lines = search.parallel_coordinates(trials, PARAMETERS, "val_rmse").axes[0].lines
    blue = [line for line in lines if line.get_color() == "#0072B2"]
    assert len(blue) == 2
    # The last axis is the objective, scaled from the smallest to the largest.
    assert min(line.get_ydata()[-1] for line in blue) == 0


def test_the_section_has_table_cost_failures_and_pictures(trials, tmp_path):
    (tmp_path / "plots").mkdir()
    section = search.draw(tmp_path, trials, PARAMETERS, "val_rmse")
    assert "30 trials, 1 of them failed, 145 epochs and 2.9 minutes of training." in section.body
    assert "trial 4: MemoryError: 80 &lt;GiB&gt;" in section.body
    assert section.body.count("<img ") == 4
    best = trials.sort_values("val_rmse")["trial"].iloc[0]
    assert f'<th scope="row">{best}</th>' in section.body
    assert len(list((tmp_path / "plots").iterdir())) == 4


def test_without_a_completed_trial_there_is_nothing_to_draw(trials, tmp_path):
    trials["status"] = "failed"
    with pytest.raises(DataError, match="no trial was completed"):
        search.draw(tmp_path, trials, PARAMETERS, "val_rmse")
