import runpy
import sys
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "similar.py"


def test_both_sides_find_the_same_and_little_memory_is_counted():
    measure = runpy.run_path(str(SCRIPT))["measure"]
    ours, theirs = (measure(name, 3000, 16, 20, 5) for name in ("kmodels", "sklearn"))
    assert np.array(ours["found"]).shape == (20, 5)
    assert ours["found"] == theirs["found"]
    assert ours["table_bytes"] == 3000 * 16 * 4


def test_it_prints_times_memory_and_the_ratio(monkeypatch, capsys):
    script = runpy.run_path(str(SCRIPT))

    def child(command, **_):
        assert command[1] == str(SCRIPT)
        which = command[command.index("--child") + 1]
        result = {"seconds": 2.0 if which == "kmodels" else 5.0, "bytes": 3 << 20, "table_bytes": 2 << 20}
        line = str(result | {"found": [[1]]}).replace("'", '"')
        return type("Done", (), {"stdout": line})

    monkeypatch.setattr(script["subprocess"], "run", child)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--rows", "3000"])
    script["main"]()
    printed = capsys.readouterr().out
    assert "kmodels         2.00         3      1.50" in printed
    assert "1/2.5 of scikit-learn's time; 100.00 % of the neighbours are the same" in printed
