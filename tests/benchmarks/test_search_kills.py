import json
import runpy
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("keras_tuner")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "search_kills.py"


@pytest.fixture
def script():
    return runpy.run_path(str(SCRIPT))


def test_the_command_writes_its_table_and_what_it_built(script, tmp_path):
    script["child"].__globals__["TRIALS"] = 1
    script["child"](tmp_path, "random")
    table = script["table"](tmp_path)
    (built,) = [json.loads(line) for line in (tmp_path / "builds.jsonl").read_text().splitlines()]
    assert built == {"values": table[["units", "dropout", "rate"]].iloc[0].to_dict(), "ended": 0}
    assert script["repeated"](tmp_path) == []
    assert (tmp_path / "searching").exists()


def test_a_finished_trial_that_is_trained_again_is_seen(script, tmp_path):
    events = []
    for trial in ("0", "1"):
        events.append({"event": "started", "trial": trial, "values": {"rate": float(trial)}})
        events.append({"event": "ended", "trial": trial})
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + '{"ev')
    builds = tmp_path / "builds.jsonl"
    lines = [json.dumps({"values": {"rate": rate}, "ended": ended}) for rate, ended in ((0.0, 0), (0.0, 0), (1.0, 1))]
    builds.write_text("\n".join(lines))
    assert script["repeated"](tmp_path) == []
    builds.write_text("\n".join([*lines, json.dumps({"values": {"rate": 0.0}, "ended": 1})]))
    assert script["repeated"](tmp_path) == ["0"]


def test_differences_are_told(script):
    one = pd.DataFrame({"trial": [1, 2], "status": ["completed"] * 2, "loss": [0.5, float("nan")]})
    assert script["difference"](one, one.copy()) == "equal, bit for bit"
    assert "but for loss, by 1.0e-05" in script["difference"](one, one.assign(loss=[0.5 * (1 - 1e-5), float("nan")]))
    assert script["difference"](one, one.assign(status="failed")) == "DIFFERENT: status"
    assert script["difference"](one, one[:1]).startswith("DIFFERENT: (2, 3) and (1, 3)")
