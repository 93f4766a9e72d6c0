"""The page about places: its figures as text, the places, and what the chosen model looks at."""

import numpy as np
import pandas as pd
import pytest

from kmodels.report import engagement


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plots").mkdir()
    return tmp_path


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    columns = ("visits", "likes", "dislikes", "bookmarks", "xps", "tier")
    table = pd.DataFrame({name: rng.integers(1, 100, 20) for name in columns})
    return table.assign(longitude=rng.normal(6, 1, 20), latitude=rng.normal(50, 1, 20))


def test_the_limits_stand_below_the_figures():
    record = {
        "variants": {
            "compact": {"test": {"accuracy": 0.87, "log_loss": 0.5}},
            "image_alone": {"test": {"accuracy": 0.34, "log_loss": 1.1}, "warnings": ["image_alone: nothing learned"]},
        },
        "baselines": {"majority": {"accuracy": 0.33, "log_loss": 1.2}},
        "data": {"floors": {"both": 0.8946, "relabelled": 0.02}, "split": {"test": 1200}},
        "choice": "compact was chosen.",
    }
    lines = engagement.text(record).splitlines()
    assert lines[0] == "Test rows (1,200 places):"
    assert lines[1].split() == ["accuracy", "log_loss"]
    assert [line.split()[0] for line in lines[2:5]] == ["compact", "image_alone", "majority"]
    assert lines[5].split()[-2:] == ["0.895", "-"]
    assert lines[6:] == ["compact was chosen.", "warning: image_alone: nothing learned"]


def test_the_places_are_drawn_and_those_left_out_are_listed(folder, table):
    none = pd.DataFrame({"id": [], "image": [], "reason": []})
    assert len(engagement.explored(folder, table, np.arange(20) % 3, none)) == 1
    skipped = pd.DataFrame({"id": [7], "image": ["a<b>.jpg"], "reason": ["damaged"]})
    section, left_out = engagement.explored(folder, table, np.arange(20) % 3, skipped)
    assert section.body.count("data:image/png;base64,") == 3
    assert "7: a&lt;b&gt;.jpg: damaged" in left_out.body


@pytest.mark.parametrize("with_shap", [True, False])
def test_what_it_looks_at_says_what_is_missing(folder, with_shap):
    rng = np.random.default_rng(0)
    share = rng.dirichlet([1, 1, 1], 6)
    found = {
        "pictures": rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8),
        "heat": rng.random((4, 2, 2)),
        "importance": pd.DataFrame({"group": ["picture", "tier"], "mean": [0.4, 0.1], "std": [0.01, 0.02]}),
        "shap": rng.normal(size=(3, 2, 3)) if with_shap else None,
        "groups": ["tier", "tags"],
    }
    section = engagement.looked_at(folder, rng.integers(0, 3, 6), share, **found)
    assert section.body.count("data:image/png;base64,") == 2 + with_shap
    assert ("pip install shap" in section.body) != with_shap
    assert (folder / "plots" / "shap.png").exists() == with_shap
