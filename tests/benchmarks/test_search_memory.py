import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras_tuner")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "search_memory.py"


def test_memory_is_read_before_the_first_trial_and_after_each():
    readings = runpy.run_path(str(SCRIPT))["held"](1, "random")
    assert len(readings) == 2
    assert min(readings) > 50 * 2**20  # Keras alone takes more


def test_it_prints_the_growth_and_who_grew_too_much(monkeypatch, capsys):
    script = runpy.run_path(str(SCRIPT))
    before = [90, 96, 97, 98, 99]
    after = {"jax": [100, 109], "torch": [100, 111]}

    def child(command, env, **_):
        readings = [mib * 2**20 for mib in before + after[env["KERAS_BACKEND"]]]
        return type("Done", (), {"stdout": f"noise\n{readings}\n"})

    monkeypatch.setattr(script["subprocess"], "run", child)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--trials", "6", "--backends", "jax,torch"])
    script["main"]()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["jax", "90", "100", "109", "9.0%"]
    assert lines[2].split() == ["torch", "90", "100", "111", "11.0%"]
    assert lines[3] == "more than 10 %: torch"
