import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tabular.py"


@pytest.mark.one_backend("torch")
def test_a_straight_rule_is_the_linear_model_s_and_steps_are_the_trees(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    straight = pd.DataFrame(x, columns=list("abc")).assign(MedHouseVal=x @ [1.0, 2.0, 3.0])
    steps = pd.DataFrame(x, columns=list("abc")).assign(target=np.where((x[:, 0] > 0) ^ (x[:, 1] > 0), "yes", "no"))
    straight.to_csv(tmp_path / "california_housing.csv", index=False)
    steps.to_csv(tmp_path / "steps.csv", index=False)
    found = tmp_path / "found.json"
    flags = [str(tmp_path), "--models", "linear", "boosting", "--seeds", "2", "--json", str(found)]
    monkeypatch.setattr(sys, "argv", ["tabular.py", *flags])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    scores = {
        table: {name: np.mean([each["score"] for each in splits]) for name, splits in models.items()}
        for table, models in json.loads(found.read_text()).items()
    }
    assert scores["california_housing"]["linear"] < 0.05 < scores["california_housing"]["boosting"]
    assert scores["steps"]["boosting"] > 0.9 > 0.7 > scores["steps"]["linear"]
    lines = {line[:20].strip(): line[20:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["mean rank"] == ["1.50", "1.50"]
    assert lines["within one error"] == ["1", "1"]
