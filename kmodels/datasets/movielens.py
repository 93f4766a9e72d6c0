"""MovieLens: ratings of films, in every release and as RecBole's atomic files, as three tidy tables.

A folder's format is known by what it holds:

- ``ml-1m``: ``ratings.dat``, ``users.dat``, ``movies.dat``, fields between ``::``; so are the bundled sample and
  MovieLens-10M, which has no users.
- ``ml-100k``: ``u.data``, ``u.user``, ``u.item``; ``u1.base`` and ``u1.test`` … are read as given splits.
- ``csv``: ``ratings.csv``, ``movies.csv`` (latest-small, 20M, 25M, 32M); users are bare ids there.
- ``recbole``: ``*.inter``, ``*.user``, ``*.item``, RecBole's atomic files.

Source: F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM Transactions on
Interactive Intelligent Systems 5 (4), 2015, https://doi.org/10.1145/2827872.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kmodels.datasets.download import fetch_archive, resolve
from kmodels.datasets.movielens_formats import FORMATS, read_splits, read_tables
from kmodels.datasets.ratings import RatingTables, check_pairs, read
from kmodels.datasets.sources import sha256
from kmodels.datasets.tables import Table
from kmodels.errors import ConfigurationError, DataError
from kmodels.folders import cache_folder

__all__ = ["load"]

BASE_URL = "https://files.grouplens.org/datasets/movielens/"

# None: the file changes with each release, and its checksum is published next to it.
_CHECKSUMS: dict[str, str | None] = {
    "ml-100k": "sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "ml-1m": "sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
    "ml-25m": "md5:6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-latest-small": None,
}

#: The names that `load` downloads.
KNOWN_NAMES: tuple[str, ...] = tuple(_CHECKSUMS)

#: Lowest and highest possible rating, in stars.
SCALE = (0.5, 5.0)

_SAMPLE = "movielens-sample"

_TERMS = (
    "MovieLens is a data set of GroupLens, University of Minnesota. It may be used for research, not\n"
    "commercially and not redistributed without permission; publications cite\n"
    "https://doi.org/10.1145/2827872. Full terms: https://grouplens.org/datasets/movielens/."
)


def load(
    source: str | Path,
    cache: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    users: str | Path | None = None,
    items: str | Path | None = None,
) -> RatingTables:
    r"""Loads MovieLens by name or path, or any table of ratings by the path of its file.

    Of MovieLens, `users` has `user_id` int64 and, as far as the format has them, `gender` (``"F"`` or ``"M"``),
    `is_male` (1.0 or 0.0), `age` int64 (years; in MovieLens-1M one of `AGE_BANDS`), `age_band` int64 (the one of
    `AGE_BANDS` at or below the age), `occupation` (one of `OCCUPATIONS` in MovieLens-1M), `occupation_code` int64 (its
    place in the alphabet, from 1) and `zip_code`. `items` has `item_id` int64, `title`, `year` Int64 (of release: in
    the title's parentheses, else of the release date; missing where unknown), `decade` int64 (0 where unknown) and
    `genres`, joined by ``|``, ``""`` where none is known.

    Args:
        source: ``"sample"``, the synthetic sample; one of `KNOWN_NAMES`, which is
            downloaded once into the cache, its checksum verified; the path of a folder of MovieLens files, or of one
            that holds exactly one such folder; or that of a file, as for `ratings.read`.
        cache: Where downloads are kept; None: ``$KMODELS_CACHE``, or ``~/.cache/kmodels`` where that is unset.
        columns: Column map of a file, as for `ratings.read`. Default None.
        users: Side table of a file's users. Default None.
        items: Side table of a file's items. Default None.

    Returns:
        The tables; ratings are stars.

    Raises:
        ConfigurationError: If `source` is neither a known name nor an existing path, or `columns`, `users` or `items`
            come without a file.
        DataError: If the download fails, a folder holds none or several of the formats, or any
            row is wrong. The message names the file, the line, the column and what was received.

    Example:
        >>> data = load("sample")
        >>> data.format, data.has_times, data.users["occupation"].nunique(), int(data.items["year"].min()) > 1900
        ('ml-1m', True, 21, True)
    """
    path, name = resolve(source, _SAMPLE, KNOWN_NAMES), str(source)
    if path.is_file():
        return read(path, columns, users=users, items=items)
    if columns or users or items:
        raise ConfigurationError(f"a column map and side tables go with a file of ratings. Received: {source}")
    if source in KNOWN_NAMES:
        path = (Path(cache) if cache is not None else cache_folder()) / "movielens" / name
        fetch_archive(f"{BASE_URL}{name}.zip", path, _CHECKSUMS[name], notice=_TERMS)
    folder, kind = _find(path)
    table, known_users, known_items, files = read_tables(folder, FORMATS[kind])
    for side, known in (("user_id", known_users), ("item_id", known_items)):
        _check_known(table, side, known)
    check_pairs(table)
    ratings = table.frame.reset_index(drop=True)
    splits = read_splits(folder, ratings) if kind == "ml-100k" else {}
    files += tuple(folder / f"{split}.{part}" for split in splits for part in ("base", "test"))
    return RatingTables(
        name=name if source in ("sample", *KNOWN_NAMES) else folder.resolve().name,
        format=kind,
        path=folder,
        sha256=sha256(*files),
        ratings=ratings,
        users=known_users,
        items=known_items,
        scale=SCALE,
        given_splits=splits,
    )


def _find(path: Path) -> tuple[Path, str]:
    """Finds the one folder and format that a path means."""
    found: list[tuple[Path, str]] = []
    for folders in ([path], sorted(folder for folder in path.iterdir() if folder.is_dir())):
        found = found or [
            (folder, kind)
            for folder in folders
            for kind, layout in FORMATS.items()
            for file in folder.glob(layout.ratings)
            if file.is_file()
        ]
    if len(found) == 1:
        return found[0]
    expected = "; or ".join(f"{each.ratings} with {each.items}" for each in FORMATS.values())
    if not found:
        names = sorted(entry.name for entry in path.iterdir())
        held = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        raise DataError("no MovieLens ratings here", file=path, expected=expected, received=held)
    several = ", ".join(f"{folder.name}: {FORMATS[kind].ratings}" for folder, kind in found)
    raise DataError("several MovieLens ratings here", file=path, expected=f"one of: {expected}", received=several)


def _check_known(ratings: Table, name: str, side: pd.DataFrame) -> None:
    """Refuses a rating whose user or item is not in the side table."""
    unknown = ~np.isin(ratings.frame[name].to_numpy(), side[name].to_numpy())
    if unknown.any():
        what, row = name.removesuffix("_id"), int(np.argmax(unknown))
        received = int(ratings.frame[name].iloc[row])
        expected = f"one of its {len(side)} ids"
        raise ratings.error(f"the {what} is not in the {what}s table", row, name, expected, received)
