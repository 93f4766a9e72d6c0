"""A recipe run inside the test's own process."""

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
