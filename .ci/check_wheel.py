"""Checks what a wheel holds: the package, recipes and samples, and nothing else. python .ci/check_wheel.py FILE.whl."""

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_MIB = 8


def files(folder: Path, *suffixes: str) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [path.relative_to(ROOT).as_posix() for path in found if not suffixes or path.suffix in suffixes]


wheel = Path(sys.argv[1])
names = set(zipfile.ZipFile(wheel).namelist())
bundled = [name for folder in (ROOT / "recipes", *ROOT.glob("data/*-sample")) for name in files(folder)]
expected = {*files(ROOT / "kmodels", ".py", ".csv", ".j2"), *(f"kmodels/_bundled/{name}" for name in bundled)}
packed = {name for name in names if not re.match(r"kmodels-[^/]+\.dist-info/", name)}
if packed != expected:
    sys.exit(f"missing: {sorted(expected - packed)}; not of the package: {sorted(packed - expected)}")
size = wheel.stat().st_size / 2**20
if size > MOST_MIB:
    sys.exit(f"the wheel has {size:.1f} MiB; expected at most {MOST_MIB}")
print(f"{len(packed)} files, {len(bundled)} of them recipes and samples; {size:.1f} MiB")
