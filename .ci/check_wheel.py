"""Checks what a wheel holds: the package with its templates, and nothing else. python .ci/check_wheel.py FILE.whl."""

import re
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "kmodels"

names = set(zipfile.ZipFile(sys.argv[1]).namelist())
expected = {
    f"kmodels/{path.relative_to(PACKAGE).as_posix()}"
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix in (".py", ".csv", ".j2")
}
packed = {name for name in names if not re.match(r"kmodels-[^/]+\.dist-info/", name)}
if packed != expected:
    sys.exit(f"missing: {sorted(expected - packed)}; not of the package: {sorted(packed - expected)}")
print(f"{len(packed)} files, of them {sum(name.endswith('.j2') for name in packed)} templates")
