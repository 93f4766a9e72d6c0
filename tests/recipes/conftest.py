"""A recipe run inside the test's own process, and what it says when it refuses."""

import runpy
import sys

import pytest


@pytest.fixture(scope="session")
def run_here():
    """Runs a script in this process and gives its exit code: Keras takes seconds to import."""

    def run(script, *flags) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(script), *map(str, flags)])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(script), run_name="__main__")
        return ended.value.code

    return run


@pytest.fixture
def refused(capsys):
    """Runs a recipe that ends with 2 and leaves no numbers, and gives the only line on stderr."""

    def line(here, out, *flags) -> str:
        assert here("--out", out, *flags) == 2
        output = capsys.readouterr()
        (line,) = output.err.strip().splitlines()
        assert line.startswith("error: ")
        assert "Traceback" not in output.out + output.err
        assert not (out / "metrics.json").exists()
        return line

    return line
