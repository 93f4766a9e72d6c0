"""Points of interest: a table of places with what visitors did there, and a picture of each.

The table has these columns, in any order (others are left out):

- `id`, `name`, `shortDescription`: text; the id occurs once.
- `categories`, `tags`: a list of text written as Python writes it, ``"['Nature', 'Museum']"``; an empty field
  is an empty list. They are parsed, never executed.
- `tier`: 1 to 4. `locationLon`, `locationLat`: degrees. `xps`: points, 0 or more.
- `Visits`, `Likes`, `Dislikes`, `Bookmarks`: whole numbers, 0 or more.
- `main_image_path`: a picture file, or a folder of which the first picture by name is taken, inside the CSV
  file's folder and relative to it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.columns import NumberColumn, match_columns
from kmodels.datasets.download import resolve
from kmodels.datasets.pictures import check_picture
from kmodels.datasets.readers import open_table
from kmodels.datasets.sources import find_table, sha256, split_name
from kmodels.datasets.tables import Table, filled, parse_records
from kmodels.errors import ConfigurationError, DataError

__all__ = ["engagement", "load"]

_SAMPLE = "pois-sample"

_COUNT_MAX = 2**53  # every whole number up to here has a float64 of its own
_COUNT = "a whole number from 0"
# Column of the table -> column of the file.
_COLUMNS = {
    "id": "id",
    "name": "name",
    "description": "shortDescription",
    "categories": "categories",
    "tier": "tier",
    "longitude": "locationLon",
    "latitude": "locationLat",
    "tags": "tags",
    "xps": "xps",
    "visits": "Visits",
    "likes": "Likes",
    "dislikes": "Dislikes",
    "bookmarks": "Bookmarks",
    "image": "main_image_path",
}
_NUMBERS = (
    NumberColumn("tier", "int64", 1, 4, "1, 2, 3 or 4"),
    NumberColumn("longitude", "float64", -180, 180, "degrees from -180 to 180"),
    NumberColumn("latitude", "float64", -90, 90, "degrees from -90 to 90"),
    NumberColumn("xps", low=0, expected="a number from 0"),
    *(NumberColumn(name, "int64", 0, _COUNT_MAX, _COUNT) for name in ("visits", "likes", "dislikes", "bookmarks")),
)
_AT_ONCE = 8


#: Definitions of engagement, see `engagement`.
ENGAGEMENT = ("volume", "ratios", "weighted")
_EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Pois:
    """Points of interest, each with a picture that can be read.

    Attributes:
        name: ``"sample"``, or the CSV file's name without its ending.
        path: The CSV file.
        sha256: Hexadecimal digest of the bytes of the CSV file and, after them, of each row's picture.
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
        source: ``"sample"``, the synthetic sample; the path of a CSV file; or a folder
            that holds ``pois.csv`` or just one table.
        on_bad_image: What to do about a picture that is missing, damaged, too large or outside the CSV file's
            folder: ``"error"`` raises at the first, ``"skip"`` leaves the row out and lists it in `skipped`.

    Returns:
        The table.

    Raises:
        ConfigurationError: If `source` does not exist or `on_bad_image` is neither.
        DataError: If a column is missing or a field or picture is wrong: the message names file, line and column.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
        ...     row = '''1,Old mill,,"['Nature']",2,6.1,49.6,[],120,10001,300,90,55,a.png'''
        ...     _ = Path(folder, "pois.csv").write_text(f"{','.join(_COLUMNS.values())}\n{row}\n")
        ...     pois = load(folder)
        >>> pois.table.loc[0, ["id", "categories", "tags"]].tolist()
        ['1', ('Nature',), ()]
    """
    if on_bad_image not in ("error", "skip"):
        raise ConfigurationError(f"on_bad_image must be 'error' or 'skip'; received {on_bad_image!r}")
    path = find_table(resolve(source, _SAMPLE), "pois", leave_out=("floors",))
    opened = open_table(path)
    found = match_columns(opened.names, {}, {name: [column] for name, column in _COLUMNS.items()}, _COLUMNS, path)
    raw = opened.read(list(found.values())).select(found)
    table = _tidy(raw)
    image, reasons = _check_pictures(raw, skip=on_bad_image == "skip")
    bad = np.array([reason is not None for reason in reasons])
    if bad.all():
        raise DataError(f"no picture can be used; of the first: {reasons[0]}", file=path, column=_COLUMNS["image"])
    skipped = pd.DataFrame(
        {
            "id": table["id"],
            "image": raw.frame["image"].astype(object).array,
            "reason": pd.Series(reasons, dtype=object),
        }
    )
    return Pois(
        name="sample" if source == "sample" else split_name(path)[0],
        path=path,
        sha256=sha256(path, *(Path(file) for file in image if file)),
        table=table.assign(image=image)[~bad].reset_index(drop=True),
        skipped=skipped[bad].astype(str).reset_index(drop=True),
    )


def _tidy(raw: Table) -> pd.DataFrame:
    """Checks and types every column but the picture's."""
    columns: dict[str, Any] = {name: raw.parse(name, str.strip) for name in _COLUMNS if name != "image"}
    columns["id"] = raw.parse("id", lambda text: filled(text).strip())
    raw.require_unique("id", columns["id"])
    for name in ("categories", "tags"):
        columns[name] = pd.Series(raw.parse(name, _labels, "such as ['a', 'b']"), dtype=object)
    columns |= {column.name: raw.numbers(column) for column in _NUMBERS}
    return pd.DataFrame(columns)


def _labels(text: str) -> tuple[str, ...]:
    """Parses a stringified list of text."""
    try:
        labels = parse_records(text.strip() or "[]")
    except ValueError:
        labels = [None]
    if not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError("not a list of text")
    return tuple(label.strip() for label in labels)


def _check_pictures(raw: Table, *, skip: bool) -> tuple[list[str], list[str | None]]:
    """Finds and decodes every picture; returns the files, and for each None or what is wrong with it."""
    root = raw.file.parent

    def check(row: tuple[int, str]) -> tuple[str, str | None]:
        line, name = row
        try:
            return str(check_picture(name, root)), None
        except DataError as error:
            if not skip:
                raise DataError(f"bad picture: {error}", file=raw.file, row=line, column=_COLUMNS["image"]) from error
            return "", str(error)

    names = raw.parse("image", str.strip)
    # Decoding leaves Python's lock; the answers come in the file's order, the first error ends it.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        checked = list(pool.map(check, zip(raw.frame.index, names, strict=True)))
    return [file for file, _ in checked], [reason for _, reason in checked]


def summary(data: Pois) -> dict[str, Any]:
    """Rows, checksum and the number of rows left out, for a run's record."""
    return {"rows": len(data.table), "sha256": data.sha256, "left_out": len(data.skipped)}


def engagement(table: pd.DataFrame, definition: str = "ratios") -> npt.NDArray[np.float64]:
    """Computes how much visitors did, of visits V, likes L, dislikes D and bookmarks B.

    "volume" is (L + D + B) / V · 100, reactions per hundred visits; "ratios" L/(V+ε) + B/(V+ε) − D/(L+B+ε) with
    ε = 1e-8, likes and bookmarks per visit less dislikes per approval; "weighted" .0001·V + .005·L + .01·B − .01·D.

    Args:
        table: Columns `visits`, `likes`, `dislikes`, `bookmarks`: numbers from 0, as `load` gives them.
        definition: One of `ENGAGEMENT`. Default "ratios".

    Returns:
        float64 (rows,).

    Raises:
        ConfigurationError: If the definition is unknown.
        DataError: If there are no visits to divide by.

    Example:
        >>> table = pd.DataFrame({"visits": [200], "likes": [30], "dislikes": [10], "bookmarks": [20]})
        >>> {name: engagement(table, name).round(6).tolist() for name in ENGAGEMENT}
        {'volume': [30.0], 'ratios': [0.05], 'weighted': [0.27]}
    """
    if definition not in ENGAGEMENT:
        known = ", ".join(ENGAGEMENT)
        raise ConfigurationError(f"unknown definition of engagement; expected one of {known}; received {definition!r}")
    visits, likes, dislikes, bookmarks = (
        table[name].to_numpy(np.float64) for name in ("visits", "likes", "dislikes", "bookmarks")
    )
    if definition == "weighted":
        return 0.0001 * visits + 0.005 * likes + 0.01 * bookmarks - 0.01 * dislikes
    if definition == "ratios":
        approval = likes + bookmarks
        return approval / (visits + _EPSILON) - dislikes / (approval + _EPSILON)
    if (visits == 0).any():
        row = int(np.argmin(visits)) + 1
        raise DataError("no visits to divide by", row=row, column="visits", expected="1 or more", received=0)
    return (likes + dislikes + bookmarks) / visits * 100
