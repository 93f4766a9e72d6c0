"""The command `kmodels`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmodels import __main__ as command
from kmodels import __version__

pytestmark = pytest.mark.first_backend
RECIPES = Path(__file__).parents[1] / "recipes"
MOVIELENS = ("movielens.py", "pages/movielens.card.md.j2", "pages/movielens.html.j2")


@pytest.fixture
def kmodels(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder; gives the exit code and the lines on stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(sys, "argv", ["kmodels", *arguments])
        code = 0
        try:
            command.main()
        except SystemExit as ended:
            code = ended.code
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()

    return run


def test_it_lists_all_recipes_and_what_each_does(kmodels):
    code, lines, _ = kmodels("list")
    assert code == 0
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in RECIPES.glob("*.py"))
    assert all(line.endswith((".", "?")) for line in lines)


def test_the_list_takes_no_library():
    script = "import sys; from kmodels.__main__ import main; main(); print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(RECIPES.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", script, "list"], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"keras", "jax", "torch", "tensorflow", "numpy", "pandas"} & set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("verb", ["run", "copy"])
def test_an_unknown_recipe_is_refused_by_one_line_with_those_there_are(kmodels, verb):
    code, _, (line,) = kmodels(verb, "movielense")
    assert code == 2
    assert line.startswith("error: argument RECIPE: expected one of fashion_mnist, ")
    assert "'movielense'" in line


def test_it_runs_a_recipe_with_the_flags_that_follow(kmodels):
    code, lines, _ = kmodels("run", "recommend", "--help")
    assert code == 0
    assert lines[0].startswith("usage: kmodels run recommend ")
    code, _, (line,) = kmodels("run", "predict", "no_run", "no_file.csv", "--out", "scored.xlsx")
    assert code == 2
    assert "Received: scored.xlsx" in line


def test_a_report_names_the_command_that_made_it(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(sys, "argv", [str(RECIPES / "movielens.py"), "--seed", "3"])
    assert command.cli.command() == "KERAS_BACKEND=jax kmodels run movielens --seed 3"


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (RECIPES.parent / "CITATION.cff").read_text()


def test_a_copy_is_the_recipe_with_its_templates(kmodels, tmp_path):
    code, lines, _ = kmodels("copy", "movielens", "mine")
    assert code == 0
    assert sorted(lines) == [str(Path("mine", name)) for name in MOVIELENS]
    for name in MOVIELENS:
        assert (tmp_path / "mine" / name).read_bytes() == (RECIPES / name).read_bytes()


@pytest.mark.parametrize("name", MOVIELENS)
def test_a_copy_overwrites_nothing(kmodels, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    code, _, (line,) = kmodels("copy", "movielens")
    assert (code, line) == (2, f"error: nothing was copied, since it would overwrite {name}")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [(tmp_path / name).name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(kmodels, tmp_path):
    (tmp_path / "file").touch()
    code, _, (line,) = kmodels("copy", "movielens", "file/x")
    assert (code, line) == (2, "error: file/x: Not a directory")
