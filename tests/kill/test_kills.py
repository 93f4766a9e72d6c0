"""A few kills of one recipe; `python -m tests.kill` kills all of them, many times."""

import keras
import numpy as np
import pandas as pd
import pytest

from tests.kill.runs import Job, differences, finish, kill_at_write

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="one backend is enough, others by hand")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "scores.csv"
    rng = np.random.default_rng(0)
    user, item = np.divmod(rng.permutation(30 * 40)[:700], 40)
    pd.DataFrame({"user_id": user, "item_id": item, "rating": rng.integers(1, 6, 700)}).to_csv(path, index=False)
    return Job("movielens", ("--data", str(path), "--model", "history", "--epochs", "4", "--batch-size", "64"))


def test_a_run_killed_in_training_and_before_its_report_ends_as_the_one_left_alone(job, tmp_path):
    whole, out = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    for folder in (whole, out):
        folder.parent.mkdir()
    _, files = finish(job, whole, resume=False)
    assert {"model.keras", "encoders.json", "metrics.json", "report.html", "MODEL_CARD.md"} <= set(files)
    assert kill_at_write(job, out, "checkpoint.npz", 2, "after", resume=False)
    assert len(pd.read_csv(out / "history.csv")) == 1  # the second epoch is in the checkpoint alone
    assert kill_at_write(job, out, "report.html", 1, "before", resume=True)
    _, rest = finish(job, out, resume=True)
    assert (files.count("checkpoint.npz"), rest.count("checkpoint.npz")) == (4, 0)
    assert differences(whole, out) == []
