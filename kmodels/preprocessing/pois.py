"""Points of interest as model inputs: 22 columns of metadata, and engagement in three classes.

All that is fitted is fitted on the training rows alone: the vocabulary of categories, the location clusters,
mean and deviation of the numbers, and the terciles of engagement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing.bins import Clusters, QuantileBins
from kmodels.preprocessing.encoders import Encoder, MultiHotVocabulary, Standardizer

#: Names of the three classes of engagement, by their number.
LABELS = ("low", "medium", "high")

_TIERS = (1, 2, 3, 4)
_EPSILON = 1e-8
_TARGET = "engagement_"


@dataclass(frozen=True, eq=False)
class EncodedPois:
    """Points of interest as arrays.

    Attributes:
        metadata: float32 (rows, columns); see `encode_metadata`.
        columns: Name of each column of `metadata`.
        groups: Name of a group of columns -> its slice of `metadata`, in order: `categories`, `tier`,
            `location`, `xps`, `tags`.
        target: int32 (rows,), class of engagement from 0 to 2.
        labels: Names of the classes, `LABELS`.
        encoders: Name -> fitted encoder, for `save_encoders`.
    """

    metadata: npt.NDArray[np.float32]
    columns: tuple[str, ...]
    groups: dict[str, slice]
    target: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    encoders: dict[str, Encoder]


def engagement_by_volume(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Computes reactions per hundred visits, (L + D + B) / V · 100.

    Args:
        table: Columns `visits`, `likes`, `dislikes`, `bookmarks`: numbers from 0.

    Returns:
        Shape (rows,), float64, 0 or more.

    Raises:
        DataError: A place without visits, a missing column, or a value that is missing or below 0.

    Example:
        >>> table = pd.DataFrame({"visits": [200], "likes": [30], "dislikes": [10], "bookmarks": [20]})
        >>> engagement_by_volume(table).tolist()
        [30.0]
    """
    visits, likes, dislikes, bookmarks = _reactions(table)
    if (visits == 0).any():
        row = int(np.argmin(visits)) + 1
        raise DataError("no visits to divide by", row=row, column="visits", expected="1 or more", received=0)
    return (likes + dislikes + bookmarks) / visits * 100


def engagement_by_ratios(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Computes likes and bookmarks per visit less dislikes per approval, L/(V+ε) + B/(V+ε) − D/(L+B+ε), ε = 1e-8.

    Args:
        table: Columns `visits`, `likes`, `dislikes`, `bookmarks`: numbers from 0.

    Returns:
        Shape (rows,), float64; below 0 where dislikes outweigh.

    Raises:
        DataError: A missing column, or a value that is missing or below 0.

    Example:
        >>> table = pd.DataFrame({"visits": [200], "likes": [30], "dislikes": [10], "bookmarks": [20]})
        >>> engagement_by_ratios(table).round(6).tolist()
        [0.05]
    """
    visits, likes, dislikes, bookmarks = _reactions(table)
    approval = likes + bookmarks
    return approval / (visits + _EPSILON) - dislikes / (approval + _EPSILON)


def engagement_by_weights(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Computes a weighted sum of the counts, .0001·V + .005·L + .01·B − .01·D.

    Args:
        table: Columns `visits`, `likes`, `dislikes`, `bookmarks`: numbers from 0.

    Returns:
        Shape (rows,), float64.

    Raises:
        DataError: A missing column, or a value that is missing or below 0.

    Example:
        >>> table = pd.DataFrame({"visits": [200], "likes": [30], "dislikes": [10], "bookmarks": [20]})
        >>> engagement_by_weights(table).round(6).tolist()
        [0.27]
    """
    visits, likes, dislikes, bookmarks = _reactions(table)
    return 0.0001 * visits + 0.005 * likes + 0.01 * bookmarks - 0.01 * dislikes


#: Name of a definition of engagement -> the function.
ENGAGEMENT: dict[str, Callable[[pd.DataFrame], npt.NDArray[np.float64]]] = {
    "volume": engagement_by_volume,
    "ratios": engagement_by_ratios,
    "weighted": engagement_by_weights,
}


def encode_pois(
    table: pd.DataFrame,
    train: npt.NDArray[np.int64],
    *,
    engagement: str = "ratios",
    clusters: int = 4,
    seed: int = 0,
    unknown_category: str = "error",
) -> EncodedPois:
    """Fits the encoders on the training rows and encodes all rows.

    Args:
        table: As `kmodels.datasets.pois` reads it: columns `categories` and `tags` (lists of text), `tier`,
            `longitude`, `latitude`, `xps`, `visits`, `likes`, `dislikes`, `bookmarks`.
        train: Positions of the training rows.
        engagement: Definition of engagement, one of `ENGAGEMENT`.
        clusters: Number of location clusters, 1 or more.
        seed: Of the search for the clusters, 0 or more.
        unknown_category: As for `encode_metadata`: what to do about a category that only other rows have.

    Returns:
        The arrays, and the encoders `categories`, `clusters`, `numbers` (of log1p(xps) and the number of tags)
        and ``engagement_…`` under the name of its definition.

    Raises:
        ConfigurationError: An unknown definition, too few clusters, or an unknown `unknown_category`.
        DataError: No training row, a missing column, a value out of range, a category that no training row
            has, fewer distinct places than clusters, or engagement too much alike to cut in three.

    Example:
        >>> table = pd.DataFrame({
        ...     "categories": [("Nature",), ("Nature", "Museum"), ()], "tags": [(), ("quiet",), ("old", "big")],
        ...     "tier": [1, 2, 4], "longitude": [0.0, 5.0, 5.1], "latitude": [50.0, 50.0, 50.2], "xps": [0, 10, 1000],
        ...     "visits": [100, 100, 100], "likes": [1, 20, 70], "dislikes": [0, 1, 2], "bookmarks": [1, 5, 9]})
        >>> encoded = encode_pois(table, np.array([0, 1, 2]), clusters=2)
        >>> encoded.metadata.shape, encoded.target.tolist(), encoded.groups["tier"]
        ((3, 10), [0, 1, 2], slice(2, 6, None))
    """
    if engagement not in ENGAGEMENT:
        known = ", ".join(ENGAGEMENT)
        raise ConfigurationError(f"unknown definition of engagement; expected one of {known}; received {engagement!r}")
    if not len(train):
        raise DataError("there is no training row")
    score = ENGAGEMENT[engagement](table)
    seen = _checked(table).iloc[train]
    terciles = QuantileBins.fit(score[train], len(LABELS))
    encoders: dict[str, Encoder] = {
        "categories": MultiHotVocabulary.fit(seen["categories"]),
        "clusters": Clusters.fit(seen[["longitude", "latitude"]], clusters, seed=seed),
        "numbers": Standardizer.fit(_numbers_of(seen)),
        f"{_TARGET}{engagement}": terciles,
    }
    return EncodedPois(
        metadata=encode_metadata(table, encoders, unknown_category=unknown_category),
        columns=metadata_columns(encoders),
        groups=metadata_groups(encoders),
        target=terciles.transform(score),
        labels=LABELS,
        encoders=encoders,
    )


def encode_metadata(
    table: pd.DataFrame, encoders: Mapping[str, Encoder], *, unknown_category: str = "error"
) -> npt.NDArray[np.float32]:
    """Encodes metadata as the training rows were, also of new places.

    Args:
        table: Columns `categories` and `tags` (lists of text), `tier` (1 to 4), `longitude` (-180 to 180) and
            `latitude` (-90 to 90) in degrees, `xps` (0 or more).
        encoders: Those of `encode_pois`, fitted or loaded.
        unknown_category: ``"error"`` refuses a category that was not learnt; ``"ignore"`` leaves it out, as if
            the place did not have it.

    Returns:
        Shape (rows, columns), float32, in the order of `metadata_columns`: categories multi-hot, tier one-hot,
        location cluster one-hot, log1p(xps) and number of tags standardised. With 12 categories and 4 clusters,
        22 columns.

    Raises:
        ConfigurationError: An unknown `unknown_category`.
        DataError: A missing column or encoder, a value out of range, or a category that was not learnt.
    """
    if unknown_category not in ("error", "ignore"):
        raise ConfigurationError(f"unknown_category must be 'error' or 'ignore'; received {unknown_category!r}")
    vocabulary, towns, scaler = _fitted(encoders)
    table = _checked(table)
    known = set(vocabulary.labels)
    if unknown_category == "error":
        for row, labels in enumerate(table["categories"], start=1):
            for label in labels:
                if label not in known:
                    expected = ", ".join(vocabulary.labels)
                    raise DataError("unknown category", row=row, column="categories", expected=expected, received=label)
    tiers = table["tier"].to_numpy()[:, None] == _TIERS
    cluster = towns.transform(table[["longitude", "latitude"]])[:, None] == np.arange(towns.size)
    categories = vocabulary.transform([[label for label in row if label in known] for row in table["categories"]])
    return np.column_stack([categories, tiers, cluster, scaler.transform(_numbers_of(table))]).astype(np.float32)


def encode_target(table: pd.DataFrame, encoders: Mapping[str, Encoder]) -> npt.NDArray[np.int32]:
    """Encodes engagement by the terciles of the training rows.

    Args:
        table: Columns `visits`, `likes`, `dislikes`, `bookmarks`: numbers from 0.
        encoders: Those of `encode_pois`, fitted or loaded; they know which definition of engagement it was.

    Returns:
        Classes, shape (rows,), int32: 0 low, 1 medium, 2 high.

    Raises:
        DataError: A missing column or encoder, or a value that is missing or below 0.
    """
    for name, metric in ENGAGEMENT.items():
        terciles = encoders.get(f"{_TARGET}{name}")
        if isinstance(terciles, QuantileBins):
            return terciles.transform(metric(table))
    raise DataError(
        "the encoder of engagement is missing", expected=f"{_TARGET}{' or '.join(ENGAGEMENT)}", received=list(encoders)
    )


def metadata_columns(encoders: Mapping[str, Encoder]) -> tuple[str, ...]:
    """Names the columns of `encode_metadata`.

    Args:
        encoders: Those of `encode_pois`, fitted or loaded.

    Returns:
        Such as ``"category Nature"``, ``"tier 1"``, ``"cluster 1"``, ``"log xps"``, ``"tag count"``.

    Raises:
        DataError: A missing encoder.
    """
    vocabulary, towns, _ = _fitted(encoders)
    return (
        *(f"category {label}" for label in vocabulary.labels),
        *(f"tier {tier}" for tier in _TIERS),
        *(f"cluster {number}" for number in range(1, towns.size + 1)),
        "log xps",
        "tag count",
    )


def metadata_groups(encoders: Mapping[str, Encoder]) -> dict[str, slice]:
    """Names the groups of columns of `encode_metadata` that belong together.

    Args:
        encoders: Those of `encode_pois`, fitted or loaded.

    Returns:
        Group -> slice of the columns, in order.

    Raises:
        DataError: A missing encoder.
    """
    vocabulary, towns, _ = _fitted(encoders)
    sizes = {"categories": vocabulary.size, "tier": len(_TIERS), "location": towns.size, "xps": 1, "tags": 1}
    ends = np.cumsum(list(sizes.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


def _fitted(encoders: Mapping[str, Encoder]) -> tuple[MultiHotVocabulary, Clusters, Standardizer]:
    """Picks the encoders of the metadata."""
    found = (encoders.get("categories"), encoders.get("clusters"), encoders.get("numbers"))
    match found:
        case (MultiHotVocabulary() as vocabulary, Clusters() as towns, Standardizer() as scaler):
            return vocabulary, towns, scaler
    raise DataError(
        "the encoders are not those of points of interest",
        expected="categories, clusters, numbers",
        received={name: type(encoder).__name__ for name, encoder in encoders.items()},
    )


def _numbers_of(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    return np.column_stack([np.log1p(table["xps"]), table["tags"].map(len)]).astype(np.float64)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Checks the columns that are encoded, as new places may come from anywhere."""
    for name in ("categories", "tags"):
        for row, labels in enumerate(_column(table, name), start=1):
            if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
                raise DataError("not a list of text", row=row, column=name, received=labels)
    ranges = {"tier": (1, 4), "longitude": (-180, 180), "latitude": (-90, 90), "xps": (0, np.inf)}
    values = {name: _number_column(table, name, low, high) for name, (low, high) in ranges.items()}
    broken = ~np.isin(values["tier"], _TIERS)
    if broken.any():
        row = int(np.argmax(broken))
        received = float(values["tier"][row])
        raise DataError("unknown tier", row=row + 1, column="tier", expected="1, 2, 3 or 4", received=received)
    return pd.DataFrame({**values, "categories": table["categories"].to_numpy(), "tags": table["tags"].to_numpy()})


def _reactions(table: pd.DataFrame) -> list[npt.NDArray[np.float64]]:
    return [_number_column(table, name, 0, np.inf) for name in ("visits", "likes", "dislikes", "bookmarks")]


def _number_column(table: pd.DataFrame, name: str, low: float, high: float) -> npt.NDArray[np.float64]:
    """Takes a column of finite numbers in a range."""
    column = _column(table, name)
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"not a column of numbers ({error})", column=name) from error
    good = np.isfinite(values) & (values >= low) & (values <= high)
    if not good.all():
        row = int(np.argmin(good))
        words = f"a number from {low:g}" + (f" to {high:g}" if np.isfinite(high) else "")
        raise DataError(
            "missing or out of range", row=row + 1, column=name, expected=words, received=float(values[row])
        )
    return values


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        raise DataError("the column is missing", column=name, received=", ".join(map(str, table.columns)))
    return table[name]
