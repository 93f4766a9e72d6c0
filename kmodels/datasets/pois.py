"""Points of interest: a table of places with what visitors did there, and a picture of each.

The table is a CSV file with a header and these columns, in any order (others are left out):

- `id`, `name`, `shortDescription`: text; the id occurs once.
- `categories`, `tags`: a list of text written as Python writes it, ``"['Nature', 'Museum']"``; an empty field
  is an empty list. They are parsed, never executed.
- `tier`: 1 to 4. `locationLon`, `locationLat`: degrees. `xps`: points, 0 or more.
- `Visits`, `Likes`, `Dislikes`, `Bookmarks`: whole numbers, 0 or more.
- `main_image_path`: a picture file, or a folder of which the first picture by name is taken, inside the CSV
  file's folder and relative to it.
"""

from __future__ import annotations

import ast
import csv
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels.datasets.pictures import check_picture
from kmodels.datasets.tables import NumberColumn, read_bytes, read_text, require_unique, split_header, to_numbers
from kmodels.errors import ConfigurationError, DataError

_SAMPLE = Path(__file__).resolve().parents[2] / "data" / "pois-sample"

_COUNT_MAX = 2**53  # every whole number up to here has a float64 of its own
_COUNT = "a whole number from 0"
# Column of the file -> column of the table and what it may hold.
_NUMBERS = {
    "tier": ("tier", NumberColumn("tier", "int64", 1, 4, "1, 2, 3 or 4")),
    "locationLon": ("longitude", NumberColumn("locationLon", "float64", -180, 180, "degrees from -180 to 180")),
    "locationLat": ("latitude", NumberColumn("locationLat", "float64", -90, 90, "degrees from -90 to 90")),
    "xps": ("xps", NumberColumn("xps", "float64", 0, np.finfo(np.float64).max, "a number from 0")),
    "Visits": ("visits", NumberColumn("Visits", "int64", 0, _COUNT_MAX, _COUNT)),
    "Likes": ("likes", NumberColumn("Likes", "int64", 0, _COUNT_MAX, _COUNT)),
    "Dislikes": ("dislikes", NumberColumn("Dislikes", "int64", 0, _COUNT_MAX, _COUNT)),
    "Bookmarks": ("bookmarks", NumberColumn("Bookmarks", "int64", 0, _COUNT_MAX, _COUNT)),
}
_TEXTS = {"id": "id", "name": "name", "shortDescription": "description"}
_LISTS = ("categories", "tags")
_PICTURE = "main_image_path"
_HEADER = (
    "id,name,shortDescription,categories,tier,locationLon,locationLat,tags,xps,Visits,Likes,Dislikes,Bookmarks,"
    "main_image_path"
)
_COLUMNS = tuple(_HEADER.split(","))
_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Pois:
    """Points of interest, each with a picture that can be read.

    Args:
        name: ``"sample"``, or the CSV file's name without its ending.
        path: The CSV file.
        sha256: Hexadecimal digest of the CSV file's bytes; the pictures are not part of it.
        table: One row per place, in the file's order, numbered from 0: `id` str (each once), `name` str,
            `description` str, `categories` and `tags` object (tuples of str, possibly empty), `tier` int64 (1 to
            4), `longitude` and `latitude` float64 (degrees), `xps` float64 (0 or more), `visits`, `likes`,
            `dislikes`, `bookmarks` int64 (0 or more), `image` str (the picture file's absolute path, links
            followed).
        skipped: Rows left out because of their picture: `id` str, `image` str (as written in the file),
            `reason` str. Empty unless ``on_bad_image="skip"``.
    """

    name: str
    path: Path
    sha256: str
    table: pd.DataFrame
    skipped: pd.DataFrame


def load(source: str | Path, *, on_bad_image: str = "error") -> Pois:
    r"""Loads points of interest: the bundled sample, or a CSV file with its pictures.

    Every field is checked, and every picture is decoded once: what cannot be used is known before training.

    Args:
        source: ``"sample"``, the synthetic sample in a checkout of kmodels; the path of a CSV file; or a folder
            that holds ``pois.csv`` or just one CSV file.
        on_bad_image: What to do about a picture that is missing, damaged, too large or outside the CSV file's
            folder: ``"error"`` raises at the first, ``"skip"`` leaves the row out and lists it in `skipped`.

    Returns:
        The table.

    Raises:
        ConfigurationError: If `source` does not exist or `on_bad_image` is neither.
        DataError: If a column is missing or twice, a field is wrong (the message names file, line and column),
            an id occurs twice, a picture is bad, or all pictures are.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
        ...     row = '''1,Old mill,,"['Nature']",2,6.1,49.6,[],120,10001,300,90,55,a.png'''
        ...     _ = Path(folder, "pois.csv").write_text(f"{_HEADER}\n{row}\n")
        ...     pois = load(folder)
        >>> pois.table.loc[0, ["id", "categories", "tags"]].tolist()
        ['1', ('Nature',), ()]
    """
    if on_bad_image not in ("error", "skip"):
        raise ConfigurationError(f"on_bad_image must be 'error' or 'skip'; received {on_bad_image!r}")
    if source == "sample":
        if not _SAMPLE.is_dir():
            raise DataError(
                "the bundled sample is not there; it comes with a checkout of kmodels, not with a wheel",
                file=_SAMPLE,
                expected="a checkout, or the path of a CSV file",
            )
        return replace(load(_SAMPLE, on_bad_image=on_bad_image), name="sample")
    path = _find(Path(source))
    data = read_bytes(path)
    raw = _read_table(data, path)
    table = _tidy(raw, path)
    image, reasons = _check_pictures(raw, path, skip=on_bad_image == "skip")
    bad = np.array([reason is not None for reason in reasons])
    if bad.all():
        raise DataError(f"no picture can be used; of the first: {reasons[0]}", file=path, column=_PICTURE)
    skipped = pd.DataFrame(
        {"id": table["id"], "image": raw[_PICTURE], "reason": pd.Series(reasons, raw.index, dtype=object)}
    )
    return Pois(
        name=path.stem,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        table=table.assign(image=image)[~bad].reset_index(drop=True),
        skipped=skipped[bad].astype(str).reset_index(drop=True),
    )


def _find(source: Path) -> Path:
    """Finds the CSV file."""
    if not source.exists():
        raise ConfigurationError(
            f"unknown data source {str(source)!r}: neither 'sample' nor the path of a file or folder"
        )
    if not source.is_dir():
        return source
    found = [source / "pois.csv"] if (source / "pois.csv").is_file() else sorted(source.glob("*.csv"))
    if len(found) != 1:
        received = ", ".join(file.name for file in found) or "none"
        raise DataError(
            "no telling which table to read", file=source, expected="pois.csv or one CSV file", received=received
        )
    return found[0]


def _read_table(data: bytes, path: Path) -> pd.DataFrame:
    """Splits the file into text fields and checks that the columns are there, each once."""
    header, body = split_header(data, path)
    names = [name.strip() for name in next(csv.reader([header]))]
    for name in _COLUMNS:
        if names.count(name) != 1:
            problem = "missing" if name not in names else "there more than once"
            expected = ", ".join(_COLUMNS)
            raise DataError(
                f"the column is {problem}", file=path, row=1, column=name, expected=expected, received=header
            )
    # Columns that are not used may have any name, even one name twice.
    unique = [name if name in _COLUMNS else f"unused {place}" for place, name in enumerate(names)]
    return read_text(body, path, unique, ",", quoted=True, first_line=2)[list(_COLUMNS)]


def _tidy(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Checks and types every column but the picture's."""
    raw = raw.assign(id=raw["id"].str.strip())
    empty = raw["id"].eq("").to_numpy()
    if empty.any():
        raise DataError(
            "the field is empty", file=path, row=int(raw.index[int(np.argmax(empty))]), column="id", expected="text"
        )
    require_unique(raw, "id", path)
    columns: dict[str, Any] = {new: raw[old].str.strip() for old, new in _TEXTS.items()}
    for name in _LISTS:
        columns[name] = _to_lists(raw, name, path)
    for name, (new, column) in _NUMBERS.items():
        # pandas writes whole numbers as 12.0 where the column once had a missing value.
        whole = raw[name].str.replace(r"\.0+\s*$", "", regex=True) if column.dtype == "int64" else raw[name]
        columns[new] = to_numbers(whole.to_frame(), column, path)
    order = ("id", "name", "description", "categories", "tier", "longitude", "latitude", "tags", "xps")
    return pd.DataFrame(columns, index=raw.index)[[*order, "visits", "likes", "dislikes", "bookmarks"]]


def _to_lists(raw: pd.DataFrame, name: str, path: Path) -> pd.Series[Any]:
    """Parses a column of stringified lists into tuples of text."""
    parsed = []
    for line, text in zip(raw.index, raw[name], strict=True):
        try:
            labels = ast.literal_eval(text.strip()) if text.strip() else []
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            labels = None
        if not isinstance(labels, list) or not all(isinstance(label, str) and label.strip() for label in labels):
            raise DataError(
                "not a list of text",
                file=path,
                row=int(line),
                column=name,
                expected="such as ['a', 'b']",
                received=text,
            )
        parsed.append(tuple(label.strip() for label in labels))
    return pd.Series(parsed, index=raw.index, dtype=object)


def _check_pictures(raw: pd.DataFrame, path: Path, *, skip: bool) -> tuple[list[str], list[str | None]]:
    """Finds and decodes every picture; returns the files, and for each None or what is wrong with it."""
    root = path.parent

    def check(row: tuple[int, str]) -> tuple[str, str | None]:
        line, name = row
        try:
            return str(check_picture(name, root)), None
        except DataError as error:
            if not skip:
                raise DataError(f"bad picture: {error}", file=path, row=line, column=_PICTURE) from error
            return "", str(error)

    # Decoding leaves Python's lock; the answers come in the file's order, the first error ends it.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        checked = list(pool.map(check, zip(raw.index.tolist(), raw[_PICTURE].str.strip(), strict=True)))
    return [file for file, _ in checked], [reason for _, reason in checked]
