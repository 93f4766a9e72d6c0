import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from kmodels.evaluation import ranking, recommender  # noqa: E402

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIZES = {"users": 60, "movies": 40, "ratings": 1200}


@pytest.fixture(scope="module")
def sides(import_scripts):
    return import_scripts("pytorch_notebook", "pytorch_tuned")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ml")
    runpy.run_path(str(BENCHMARKS / "generate_movielens.py"))["write_ml1m_like"](path, **SIZES)
    return path


def test_both_sides_read_the_same_tables(sides, folder):
    notebook, tuned = sides
    for one, other in zip(notebook.load(folder), tuned.load(folder), strict=True):
        pd.testing.assert_frame_equal(one, other, check_dtype=False)


def test_both_sides_cut_each_user_at_the_same_places(sides, folder):
    notebook, tuned = sides
    data, _ = notebook.prepare(*notebook.load(folder))
    parts = tuned.split(data)
    for one, other in zip(notebook.split(data), parts, strict=True):
        pd.testing.assert_series_equal(
            one["user"].value_counts().sort_index(), other["user"].value_counts().sort_index()
        )
    assert not pd.concat(parts)[["user", "movie"]].duplicated().any()


def test_a_row_is_the_same_on_both_sides(sides, folder):
    notebook, tuned = sides
    data, n_genres = notebook.prepare(*notebook.load(folder))
    batches = [next(iter(make(data, len(data)))) for make in (notebook.make_loader, tuned.Batches)]
    assert batches[0].keys() == batches[1].keys()
    for name, tensor in batches[0].items():
        assert torch.equal(tensor, batches[1][name]), name
    assert batches[0]["genres"].shape == (len(data), n_genres)
    given = data["Genres"].str.count(r"\|") + 1
    assert batches[0]["genres"].sum(1).tolist() == given.tolist()
    shuffled = torch.cat([batch["rating"] for batch in tuned.Batches(data, 100, shuffle=True)])
    assert not torch.equal(shuffled, batches[0]["rating"])
    assert torch.equal(shuffled.sort().values, batches[0]["rating"].sort().values)


def test_all_sides_compute_the_same_ranking_figures(sides):
    rng = np.random.default_rng(0)
    user = np.concatenate([np.arange(30), rng.integers(0, 30, 400)])
    rows = pd.DataFrame({"user": user, "Rating": rng.integers(1, 6, 430), "Prediction": rng.permutation(430) / 100})
    expected = sides[0].rank(rows)
    per_user = ranking.rated_ranking(*(rows[name] for name in rows))
    for found in (sides[1].rank(rows), recommender.lenient_ranking(*(rows[name] for name in rows), per_user)):
        assert found == pytest.approx(expected, rel=1e-12)


def test_the_tuned_side_trains(sides, folder):
    notebook, tuned = sides
    ways = {"load": tuned.load, "split": tuned.split, "batches": tuned.Batches, "rank": tuned.rank, "fused": True}
    result = notebook.run(folder, 2, 64, **ways)
    assert result["history"][1]["loss"] < result["history"][0]["loss"]
    assert list(result["test"]) == ["rmse", "mae", "r2", "precision_at_10_of_ten_slots", "ndcg_at_10_retrieved_ideal"]


def test_each_side_is_compared_with_both_in_pytorch(monkeypatch, capsys, tmp_path):
    script = runpy.run_path(str(BENCHMARKS / "movielens_workflow.py"))
    commands = []

    def child(command, **environment):
        commands.append(command)
        total = 20.0
        if "--out" in command:
            total, run = 8.0, Path(command[command.index("--out") + 1])
            assert command[command.index("--ranker") + 1] == "none"
            timing = {f"{step}_s": 1.0 for step in ("load", "prepare", "fit", "evaluate")}
            record = {"timing": timing, "test": {"rmse": 0.9}, "data": {"split": {"train": 700}}}
            run.mkdir()
            (run / "metrics.json").write_text(json.dumps(record))
            (run / "history.csv").write_text("epoch,seconds\n1,2.0\n2,2.0\n")
        elif "--json" in command:
            history = [{"epoch_s": 7.0}, {"epoch_s": 7.0}]
            seconds = {"total": 40.0 if "notebook" in command[1] else 20.0}
            result = {"seconds": seconds, "history": history, "rows": {"train": 700}, "test": {"rmse": 0.9}}
            Path(command[command.index("--json") + 1]).write_text(json.dumps(result))
        else:
            seconds = {"import": 1.0, "total": 11.0}
            result = {"seconds": seconds, "epochs": [1.0, 1.0], "train_rows": 700, "test": {"rmse": 0.9}}
            Path(command[command.index("--child") + 1]).write_text(json.dumps(result))
        return total, 512.0, 0

    monkeypatch.setitem(script["main"].__globals__, "run_child", child)
    monkeypatch.setattr(sys, "argv", ["movielens_workflow.py", "--data", str(tmp_path), "--backends", "jax"])
    script["main"]()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("PyTorch", "jax"))]
    found = [line.split()[-5:] for line in lines]
    assert found == [
        ["1.0", "0.5", "100", "512", "0.9000"],
        ["2.0", "1.0", "100", "512", "0.9000"],
        ["4.0", "2.0", "700", "512", "0.9000"],
        ["4.0", "2.0", "700", "512", "0.9000"],
        ["5.0", "2.5", "350", "512", "0.9000"],
    ]
    assert len(commands) == 5
