"""The code of docs/your_data.md: it runs from top to bottom, and what it saved predicts in a new process."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "your_data.md").read_text(encoding="utf-8")
SECTIONS = [re.findall(r"```python\n(.*?)```", text, re.S) for text in PAGE.split("\n## ")]
MADE = "\n".join(SECTIONS[0])
# The name of a section's page -> its code to metrics, and its code to predictions.
CODE = {
    PAGE.split("\n## ")[number].splitlines()[0]: blocks for number, blocks in enumerate(SECTIONS) if len(blocks) == 2
}
IMPORT = re.compile(r"^(?:import|from) .*", re.M)


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of_library_code(code: str) -> int:
    """Lines but imports and those that make or read a pandas table."""
    return len([line for line in IMPORT.sub("", code).splitlines() if line and not re.match(r"\w+ = pd\.", line)])


def test_every_section_is_short():
    assert len(CODE) >= 3
    for title, (to_metrics, to_predictions) in CODE.items():
        assert lines_of_library_code(to_metrics) <= 10, title
        assert lines_of_library_code(to_predictions) <= 2, title


@pytest.mark.parametrize("title", CODE)
def test_the_code_runs_and_predicts_in_a_new_process(title, tmp_path):
    imports = "\n".join(IMPORT.findall(PAGE))
    to_metrics, to_predictions = CODE[title]
    printed = run(f"{MADE}\n{imports}\n{to_metrics}", tmp_path)
    assert re.search(r"'(rmse|accuracy)': (np\.float64\()?\d", printed)
    assert run(f"{imports}\n{to_predictions}", tmp_path).strip()
