import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recommend.py"


def test_each_ranker_is_timed_beside_numpy(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--rounds", "1", "--large", "20", "40", "--all", "30", "20"])
    runpy.run_path(str(SCRIPT))["main"]()
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert head == ["ranker", "users", "items", "kmodels", "NumPy", "NumPy/kmodels"]
    assert [row[-6] for row in rows] == ["two_tower", "two_tower", "ease"]
    assert all(float(each) > 0 for row in rows for each in row[-3:-1])
