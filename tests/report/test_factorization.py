"""The page about matrix factorisation: distances to the floors, and a page that holds what was asked for."""

import numpy as np
import pandas as pd
import pytest

from kmodels.report import factorization, run_folder
from kmodels.report.fragments import Section

ERRORS = {"rmse": 0.5, "mae": 0.4, "r2": 0.6}
TIMING = {"load_s": 1, "prepare_s": 1, "fit_s": 2, "epochs": 2, "samples_per_s": 10, "evaluate_s": 1}


@pytest.fixture
def record():
    names = {"a_small": 0.5, "c_wide": 0.48}
    variants = {
        name: {
            "model": {"name": name, "parameters": 10},
            "test": ERRORS | {"rmse": rmse},
            "validation": ERRORS | {"rmse": rmse},
            "timing": TIMING,
        }
        for name, rmse in names.items()
    }
    floors = {"oracle": 0.4, "learnable": 0.45}
    data = {"source": "sample", "rows": 40, "users": 4, "items": 10, "sha256": "0", "unit": "stars", "floors": floors}
    return {
        "recipe": "matrix_factorization",
        "backend": "jax",
        "data": data | {"split": {"train": 28, "validation": 6, "test": 6}},
        "seed": 0,
        "variants": variants,
        "best": "c_wide",
        "choice": "c_wide was chosen.",
        "baselines": {"linear_regression": ERRORS | {"rmse": 0.64}},
        "versions": {},
    }


def test_the_terminal_shows_the_distance_to_each_floor(record):
    lines = factorization.text(record).splitlines()
    wide = next(line for line in lines if line.startswith("c_wide"))
    assert wide.split()[1:] == ["0.4800", "0.4000", "0.6000", "20.00", "6.67"]
    assert lines[-2:] == ["oracle (the noise): 0.4000; learnable: 0.4500", "c_wide was chosen."]
    record["data"]["floors"] = {}
    assert "oracle" not in factorization.text(record)


def test_the_page_tells_the_floors_and_shows_further_sections(record, tmp_path):
    run_folder.open_run(tmp_path / "run", {"seed": 0}, resume=False)
    history = pd.DataFrame({"epoch": [1, 2], "rmse": [0.6, 0.5], "val_rmse": [0.6, 0.5]})
    vectors = np.random.default_rng(0).normal(size=(11, 4)).astype("float32")
    factorization.write(
        tmp_path / "run",
        record,
        {"a_small": history, "c_wide": history},
        {"a_small": "layers"},
        vectors,
        items=np.array([1, 1, 2, 10]),
        rating=[3.0, 4.0, 2.0, 5.0],
        command="python x.py",
        sections=[Section("Search", "<p>sought</p>")],
    )
    page = (tmp_path / "run" / "report.html").read_text()
    assert "c_wide is 20.0 % above the first and 6.7 % above the second" in page
    assert "<h2>Search</h2>" in page
    assert (tmp_path / "run" / "plots" / "items.png").stat().st_size > 5000
    assert "rating of a user for an item" in (tmp_path / "run" / "MODEL_CARD.md").read_text()
