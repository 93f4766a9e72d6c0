"""Runs a script and kills its process (SIGKILL) at a file that it writes.

    python tests/kill/at_write.py checkpoint.npz 2 before recipes/movielens.py    the second one is not in its place
    python tests/kill/at_write.py report.html 1 after recipes/movielens.py        it is, and nothing after it happens

kmodels writes a file to a temporary one and renames it, so that a file counts when it is renamed. A run that is not
killed ends its output with a JSON array of the files' names.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    name, count, when, script, *flags = sys.argv[1:]
    replace = os.replace
    written: list[str] = []
    is_worker = "KERASTUNER_TUNER_ID" in os.environ  # which the chief of a search has start by its own command

    def replace_or_die(source: Any, target: Any, **options: Any) -> None:
        written.append(Path(target).name)
        killed = written[-1] == name and written.count(name) == int(count) and not is_worker
        if killed and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target, **options)
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace_or_die
    sys.argv = [script, *flags]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        print(json.dumps(written), flush=True)


if __name__ == "__main__":
    main()
