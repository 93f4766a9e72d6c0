"""Runs notebooks of `docs/notebooks/`, each in a temporary folder: python .ci/run_notebooks.py [--short] NAME…

`all` are all of them, `today` one by the day of the year. With `--short` the recipes train for an epoch. Needs the
extra `notebooks`.
"""

import argparse
import re
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
SHORT = {"fashion_mnist": " --variants narrow"}
SECONDS = 600


def main() -> int:
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    chosen = {"all": known, "today": [known[date.today().timetuple().tm_yday % len(known)]]}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*known, *chosen]
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--short", action="store_true", help="train for an epoch")
    args = parser.parse_args()
    failed = []
    for name in dict.fromkeys(each for given in args.names for each in chosen.get(given, [given])):
        started, error = time.monotonic(), run(name, args.short)
        print(f"{name}: {error or 'passed'} in {time.monotonic() - started:.0f} s", flush=True)
        failed += [name] if error else []
    return 1 if failed else 0


def run(name: str, short: bool) -> str:
    """What is wrong, or nothing."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    for cell in notebook.cells if short else ():
        flags = f" --epochs 1{SHORT.get(name, '')}"
        cell.source = re.sub(r"^!kmodels run .*$", rf"\g<0>{flags}", cell.source, flags=re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        try:
            NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": folder}}).execute()
        except (CellControlSignal, DeadKernelError) as error:
            return f"FAILED\n{error}"
    shown = "".join(each.get("data", {}).get("text/html", "") for each in notebook.cells[-1].outputs)
    return "" if "&lt;/html&gt;" in shown else "FAILED, the last cell shows no page"


if __name__ == "__main__":
    sys.exit(main())
