"""The code of docs/your_data.md: it runs from top to bottom, and what it saved predicts in a new process."""

import json
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


SEPARATOR = "--- a section's end ---\n"
EACH = """
import json, sys
for code in json.loads(sys.argv[1]):
    exec(code, {"__name__": "__main__"})
    print(sys.argv[2], end="")
"""


def run(codes: list[str], folder: Path) -> list[str]:
    """What codes that know nothing of one another print, in one process, for it takes seconds to import a backend."""
    command = [sys.executable, "-c", EACH, json.dumps(codes), SEPARATOR]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(SEPARATOR)[:-1]


def lines_of_library_code(code: str) -> int:
    """Lines but imports and those that make or read a pandas table."""
    return len([line for line in IMPORT.sub("", code).splitlines() if line and not re.match(r"\w+ = pd\.", line)])


def test_every_section_is_short():
    assert len(CODE) >= 3
    for title, (to_metrics, to_predictions) in CODE.items():
        assert lines_of_library_code(to_metrics) <= 10, title
        assert lines_of_library_code(to_predictions) <= 2, title


# `.ci/run` runs the page on JAX; what it calls is tested on every backend.
@pytest.mark.one_backend("torch")
def test_the_code_runs_and_predicts_in_a_new_process(tmp_path):
    imports = "\n".join(IMPORT.findall(PAGE))
    printed = run([f"{MADE}\n{imports}\n{to_metrics}" for to_metrics, _ in CODE.values()], tmp_path)
    predicted = run([f"{imports}\n{to_predictions}" for _, to_predictions in CODE.values()], tmp_path)
    for title, metrics, predictions in zip(CODE, printed, predicted, strict=True):
        assert re.search(r"'(rmse|accuracy)': (np\.float64\()?\d", metrics), title
        assert predictions.strip(), title
