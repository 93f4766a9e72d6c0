"""Runs the Python blocks of Markdown pages: python .ci/run_examples.py README.md docs/*.md.

The blocks of a page run in order and share their names, as a reader would type them; what they write goes to a
temporary folder.
"""

import os
import re
import sys
import tempfile
import traceback
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def main() -> int:
    failures = blocks = 0
    pages = {page: Path(page).read_text(encoding="utf-8") for page in sys.argv[1:]}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for page, text in pages.items():
            names: dict[str, object] = {"__name__": "__main__"}
            for match in BLOCK.finditer(text):
                blocks += 1
                first = text[: match.start(1)].count("\n")
                try:
                    # The empty lines in front make a traceback name the page's own lines.
                    exec(compile("\n" * first + match.group(1), page, "exec"), names)
                except Exception:
                    failures += 1
                    print(f"{page}, line {first + 1}: the example fails", file=sys.stderr)
                    traceback.print_exc()
        os.chdir("/")
    print(f"{blocks} examples on {len(pages)} pages, {failures} failed")
    return 1 if failures or not blocks else 0


if __name__ == "__main__":
    sys.exit(main())
