"""The code of docs/streaming.md: it runs from top to bottom, in constant memory or not, and learns what was planted."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "streaming.md").read_text(encoding="utf-8")


@pytest.mark.one_backend("torch")
def test_the_code_runs_and_finds_what_was_planted(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(code, {"__name__": "__main__"})
    (rmse,) = re.findall(r"'rmse': (\d+\.\d+)", capsys.readouterr().out)
    assert 0.19 < float(rmse) < 0.25  # the noise is 0.2, the price varies by 0.8
