"""The command `kmodels`: lists the recipes that come with the package, runs them, and copies them to be changed."""

from __future__ import annotations

import argparse
import ast
import runpy
import sys
from pathlib import Path

from kmodels import cli
from kmodels.errors import ConfigurationError
from kmodels.folders import bundled


def main() -> None:
    """Takes the flags of the command line; bad input exits with code 2 and one line."""
    flags = cli.Parser(prog="kmodels", description="Runs the recipes that come with kmodels.")
    commands = flags.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="list the recipes")
    run = commands.add_parser("run", help="run a recipe")
    copy = commands.add_parser("copy", help="copy a recipe and the templates of its page, to be changed")
    for each in (run, copy):
        each.add_argument("recipe", metavar="RECIPE", type=_recipe, help="a name that `kmodels list` prints")
    run.add_argument("flags", nargs=argparse.REMAINDER, help="all else is the recipe's, such as --help")
    copy.add_argument("folder", nargs="?", default=".", type=Path, help="where to; default: the current folder")
    args = flags.parse_args()
    if args.command == "run":  # it has exit codes of its own
        sys.argv = [str(args.recipe), *args.flags]
        runpy.run_path(str(args.recipe), run_name="__main__")
        return
    with cli.exit_codes():
        if args.command == "list":
            list_recipes()
        else:
            copy_recipe(args.recipe, args.folder)


def recipes() -> dict[str, Path]:
    """The file of each recipe that came with kmodels."""
    return {path.stem: path for path in sorted(bundled("recipes").glob("*.py"))}


def list_recipes() -> None:
    """Prints each recipe's name and the first line of its docstring, without importing it."""
    for name, path in recipes().items():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"{name:<22}{docstring.partition(chr(10))[0]}")


def copy_recipe(recipe: Path, folder: Path) -> None:
    """Copies a recipe and its templates, unless one of the files is there."""
    pages = sorted(recipe.parent.glob(f"pages/{recipe.stem}.*"))
    targets = {file: folder / file.relative_to(recipe.parent) for file in (recipe, *pages)}
    if there := [str(target) for target in targets.values() if target.exists()]:
        raise ConfigurationError(f"nothing was copied, since it would overwrite {', '.join(there)}")
    for file, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copied:
            copied.write(file.read_bytes())
        print(target)


def _recipe(name: str) -> Path:
    if (path := recipes().get(name)) is None:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(recipes())}; received {name!r}")
    return path


if __name__ == "__main__":
    main()
