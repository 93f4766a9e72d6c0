"""A recipe run inside the test's own process, what it says when it refuses, and searches that end sooner."""

import importlib.util
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from kmodels.workflow import run_folder, task


def _check_card(card: Path) -> None:
    """Hugging Face's own reader takes the metadata, where there is a card."""
    if card.exists() and importlib.util.find_spec("huggingface_hub"):
        from huggingface_hub import ModelCard

        found = ModelCard.load(card).data
        assert found.library_name == "keras"
        assert found.pipeline_tag == found.eval_results[0].task_type


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What is refused is refused before anything is computed: one backend's worker finds that out."""
    for item in items:
        if "refused" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.first_backend)


@pytest.fixture(scope="session")
def run_here():
    """Runs a script in this process and gives its exit code: Keras takes seconds to import."""

    def run(script, *flags) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(script), *map(str, flags)])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(script), run_name="__main__")
        if ended.value.code == 0 and "--out" in flags and (out := Path(flags[flags.index("--out") + 1])).is_dir():
            # A later run in this folder must be able to move it aside.
            assert run_folder.foreign(out) == []
            _check_card(out / "MODEL_CARD.md")
        return ended.value.code

    return run


@pytest.fixture(scope="session")
def run_defaults(run_here, tmp_path_factory):
    """Runs a recipe with its default folder in a working directory of its own; gives the folder and what it printed."""

    def run(script, *flags) -> tuple[Path, str, str]:
        folder = tmp_path_factory.mktemp("recipe")
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(StringIO()) as out,
            redirect_stderr(StringIO()) as err,
        ):
            patch.chdir(folder)
            assert run_here(script, *flags) == 0, err.getvalue()
        return folder / "runs" / script.stem, out.getvalue(), err.getvalue()

    return run


@pytest.fixture(scope="session", autouse=True)
def fewer_rows_explained():
    """Explains two rows by SHAP values, not twelve: they take most of a short run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "_SHAP_ROWS", 2)
        yield


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


@pytest.fixture(scope="module")
def one_seed():
    """Has `tuning.payoff` train with the first of its seeds alone: each model takes seconds to build and to compile."""
    pytest.importorskip("keras_tuner")
    from kmodels import tuning

    payoff = tuning.payoff
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "payoff", lambda score, settings, seeds: payoff(score, settings, seeds[:1]))
        yield
