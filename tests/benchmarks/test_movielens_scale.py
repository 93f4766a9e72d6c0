import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import movielens


@pytest.fixture(scope="module")
def scripts(import_scripts):
    return import_scripts("generate_movielens", "movielens_scale")


@pytest.fixture(scope="module")
def folder(scripts, tmp_path_factory):
    path = tmp_path_factory.mktemp("ml")
    scripts[0].write_csv_like(path, users=300, movies=200, ratings=12_000)
    return path


def test_both_formats_hold_the_same_ratings(scripts, folder, tmp_path):
    scripts[0].write_ml1m_like(tmp_path, users=300, movies=200, ratings=12_000)
    one, other = (movielens.load(each) for each in (folder, tmp_path))
    pd.testing.assert_frame_equal(one.ratings, other.ratings)
    assert one.items["item_id"].equals(other.items["item_id"])


def test_the_expectation_is_the_best_prediction(scripts):
    drawn = scripts[0].draw(np.random.default_rng(1), 2000, 400, 200_000)
    residual = drawn.stars - drawn.expected
    for part in np.array_split(np.argsort(drawn.expected), 10):
        assert abs(residual[part].mean()) < 4 * residual[part].std() / len(part) ** 0.5
    rmse = np.sqrt(np.mean(residual**2))
    # Rounding adds the variance of a uniform error to that of the noise; the ends of the scale take some away.
    assert scripts[0].SD_NOISE - 0.1 < rmse < (scripts[0].SD_NOISE ** 2 + 1 / 12) ** 0.5


def test_drawing_by_turns_has_the_law_of_the_race(scripts):
    weight = np.log(np.array([8, 4, 2, 1, 1, 0.5], np.float32))
    counts = np.tile([1, 2, 4], 4000)
    owners, shares = np.repeat(np.arange(len(counts)), counts), []
    for number, draw in enumerate((scripts[0]._race, scripts[0]._draw_by_turns)):
        films = draw(np.random.default_rng(number), counts, weight)
        assert len(np.unique(owners * 6 + films)) == counts.sum()
        shares.append([np.bincount(films[counts[owners] == n], minlength=6) / 4000 for n in (1, 2, 4)])
    np.testing.assert_allclose(shares[0], shares[1], atol=4 * (2 * 0.25 / 4000) ** 0.5)
    np.testing.assert_allclose(shares[1][0], np.exp(weight) / 16.5, atol=4 * (0.25 / 4000) ** 0.5)


def test_a_large_table_has_each_pair_once(scripts, monkeypatch):
    monkeypatch.setattr(scripts[0], "SMALL", 0)
    drawn = scripts[0].draw(np.random.default_rng(0), 700, 1500, 40_000)
    assert len(np.unique(drawn.user.astype(np.int64) * 1500 + drawn.movie)) == 40_000
    assert (np.diff(drawn.user) >= 0).all()
    counts = np.bincount(drawn.user)
    assert counts.min() >= 20
    assert counts.max() > 1500 * scripts[0].RACING_SHARE > counts.min()


def test_a_side_is_trained_and_compared_with_biases_and_the_floor(scripts, folder):
    _, scale = scripts
    model, biases = (scale.evaluate(folder, side, epochs=1, batch_size=256) for side in ("any", scale.BIASES))
    assert len(model["epochs"]) == 1
    assert model["train_rows"] == biases["train_rows"]
    assert model["floor"] == biases["floor"] < biases["rmse"] < 1.2
    assert model["floor"] < model["rmse"]


def test_a_process_that_dies_is_a_line(scripts, monkeypatch, capsys):
    _, scale = scripts

    def child(command, *, check, **environment):
        result = {"seconds": {"load": 1.0, "prepare": 2.0}, "train_rows": 700, "floor": 0.8, "rmse": 0.9}
        result |= {} if "biases" in command else {"epochs": [2.0, 1.0, 1.0]}
        out = Path(command[command.index("--child") + 2])
        if environment["KERAS_BACKEND"] == "torch":
            return 1.0, 2048.0, -9
        out.write_text(json.dumps(result))
        return 1.0, 1024.0, 0

    monkeypatch.setattr(scale, "run_child", child)
    monkeypatch.setattr(scale.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["movielens_scale.py", "--backends", "jax", "torch"])
    scale.main()
    jax, torch, biases, floor = capsys.readouterr().out.strip().splitlines()[-4:]
    assert jax.split() == ["jax", "1.0", "2.0", "700", "1.0", "1,024", "0.9000", "0.1000"]
    assert torch.split(maxsplit=1) == ["torch", "exit code -9, peak memory 2,048 MiB"]
    assert biases.split() == ["biases", "1.0", "2.0", "-", "-", "1,024", "0.9000", "0.1000"]
    assert floor == "RMSE of the generating model 0.8000"
