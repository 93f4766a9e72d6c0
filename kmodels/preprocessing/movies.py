"""A table of films as arrays for a network: amounts scaled, genres and director encoded, gaps marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError, DataError
from kmodels.features import Feature, MultiHot, Numeric
from kmodels.preprocessing.encoders import Encoder, MultiHotVocabulary, Standardizer
from kmodels.preprocessing.target_encoding import TargetEncoder, cross_fit

#: Columns that can be encoded, in the order of the arrays.
INPUTS = ("budget", "runtime", "genres", "director", "rating", "votes")
#: Those of them that are known before a film is out.
BEFORE_RELEASE = ("budget", "runtime", "genres", "director")


@dataclass(frozen=True, eq=False)
class EncodedMovies:
    """Films as model inputs.

    Attributes:
        features: What the inputs are: `numbers`, `genres` (if used) and `missing` (if a used column can have gaps).
        arrays: Name of an input -> float32 (films, columns): `numbers` standardised, `genres` and `missing` 0 or 1.
        frame: The same columns by their names, float64 (films, columns), before standardising: for models that scale
            by themselves or need not.
        encoders: Name -> fitted encoder, for `save_encoders`; without `numbers` where they are not scaled.
    """

    features: tuple[Feature, ...]
    arrays: Mapping[str, npt.NDArray[np.float32]]
    frame: pd.DataFrame
    encoders: Mapping[str, Encoder]


def encode_movies(
    table: pd.DataFrame,
    target: npt.ArrayLike,
    train: npt.NDArray[np.int64],
    *,
    inputs: Sequence[str] = BEFORE_RELEASE,
    scaled: bool = True,
    smoothing: float = 10.0,
    folds: int = 5,
    seed: int = 0,
) -> EncodedMovies:
    """Fits the encoders on the training rows and encodes all rows.

    The numbers are the budget and its logarithm, the runtime, the director's smoothed share of profitable films and the
    logarithm of the number of their films, the rating, and the logarithm of the votes; of training rows the director is
    encoded out of fold. Gaps take the training median, and `missing` marks them. Year and month of release are not
    encoded: under a split by time every test row would lie outside what was trained on.

    Args:
        table: Columns budget (above 0) and, of those in `inputs`, runtime, rating, votes (nan where missing), genres
            (tuples of text) and director (``""`` where missing).
        target: 1 where the film made a profit and 0 elsewhere, shape (films,).
        train: Positions of the training rows.
        inputs: Columns to use, of `INPUTS`. Default ("budget", "runtime", "genres", "director").
        scaled: Whether numbers are standardised and logarithms taken. False leaves amounts in currency units and gaps
            at 0, which shows what that costs; nothing else does. Default True.
        smoothing: As for `TargetEncoder.fit`. Default 10.
        folds: Folds for the director of training rows. Default 5.
        seed: Seed of the folds. Default 0.

    Returns:
        Features, arrays, a table for other models and the encoders `numbers`, `genres` and `director`.

    Raises:
        ConfigurationError: If there are no inputs, or one is not of `INPUTS`; revenue and profit are the target.
        DataError: If there is no training row, a column is missing, or a column has no value in the training rows.

    Example:
        >>> films = pd.DataFrame({"budget": [1e6, 1e8, 1e7], "runtime": [90.0, 140.0, np.nan]})
        >>> encoded = encode_movies(films, [0, 1, 1], np.array([0, 1]), inputs=("budget", "runtime"))
        >>> encoded.features
        (Numeric(name='numbers', size=3), MultiHot(name='missing', size=1))
        >>> encoded.arrays["numbers"][:2].tolist(), encoded.arrays["missing"].tolist()
        ([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]], [[0.0], [0.0], [1.0]])
    """
    used = _check(table, inputs, train)
    in_train = np.zeros(len(table), bool)
    in_train[train] = True
    encoders: dict[str, Encoder] = {}
    blocks: dict[str, dict[str, np.ndarray]] = {"numbers": {}, "genres": {}, "missing": {}}
    for column in used:
        values = table[column]
        if column == "genres":
            blocks["genres"] = _encode_genres(values, in_train, encoders)
            gaps = values.map(len).to_numpy() == 0
        elif column == "director":
            encoder = encoders["director"] = TargetEncoder.fit(
                values[in_train], np.asarray(target)[in_train], smoothing=smoothing
            )
            director = encoder.transform(values)
            director[in_train] = cross_fit(
                values[in_train], np.asarray(target)[in_train], smoothing=smoothing, folds=folds, seed=seed
            )
            blocks["numbers"] |= {"director_share": director[:, 0], "director_films_log": np.log1p(director[:, 1])}
            gaps = (values == "").to_numpy()
        else:
            gaps = values.isna().to_numpy()
            blocks["numbers"] |= _encode_number(column, values.to_numpy(np.float64), gaps, in_train, scaled)
        if column != "budget":
            blocks["missing"][f"missing_{column}"] = gaps
    return _assemble(blocks, train, encoders, scaled)


def _check(table: pd.DataFrame, inputs: Sequence[str], train: npt.NDArray[np.int64]) -> list[str]:
    for name in inputs:
        if name in ("revenue", "profit"):
            raise ConfigurationError(f"{name!r} contains the target, profit, and cannot be an input")
        if name not in INPUTS:
            raise ConfigurationError(f"inputs are chosen from {', '.join(INPUTS)}. Received: {name!r}")
        if name not in table.columns:
            raise DataError("the table has no such column", column=name, received=", ".join(table.columns))
    if not inputs:
        raise ConfigurationError(f"no input is chosen; expected some of {', '.join(INPUTS)}")
    if not len(train):
        raise DataError("there is no training row")
    return [name for name in INPUTS if name in inputs]


def _encode_genres(
    lists: pd.Series, in_train: npt.NDArray[np.bool_], encoders: dict[str, Encoder]
) -> dict[str, np.ndarray]:
    """One column for each genre of the training rows; a genre that is not among them is left out."""
    vocabulary = encoders["genres"] = MultiHotVocabulary.fit(lists[in_train])
    known = set(vocabulary.labels)
    matrix = vocabulary.transform([[name for name in names if name in known] for names in lists])
    return {f"genre_{name}": matrix[:, i] for i, name in enumerate(vocabulary.labels)}


def _encode_number(
    name: str, values: npt.NDArray[np.float64], gaps: np.ndarray, in_train: npt.NDArray[np.bool_], scaled: bool
) -> dict[str, np.ndarray]:
    seen = values[in_train & ~gaps]
    if not len(seen):
        raise DataError("no training row has a value", column=name)
    if not scaled:
        return {name: np.where(gaps, 0.0, values)}
    values = np.where(gaps, np.median(seen), values)
    # Money and counts span powers of ten; a budget's size itself matters too, votes only say how well known a film is.
    logarithm = {f"{name}_log": np.log1p(values)} if name in ("budget", "votes") else {}
    return logarithm if name == "votes" else {name: values, **logarithm}


def _assemble(
    blocks: Mapping[str, Mapping[str, np.ndarray]],
    train: npt.NDArray[np.int64],
    encoders: dict[str, Encoder],
    scaled: bool,
) -> EncodedMovies:
    """Joins the columns of each input, and scales the numbers."""
    used = {name: np.column_stack(list(columns.values())) for name, columns in blocks.items() if columns}
    names = [name for columns in blocks.values() for name in columns]
    frame = pd.DataFrame(np.hstack(list(used.values())).astype(np.float64), columns=names)
    if scaled and "numbers" in used:
        scaler = encoders["numbers"] = Standardizer.fit(used["numbers"][train])
        used["numbers"] = scaler.transform(used["numbers"])
    arrays = {name: matrix.astype(np.float32) for name, matrix in used.items()}
    features: tuple[Feature, ...] = tuple(
        Numeric(name, matrix.shape[1]) if name == "numbers" else MultiHot(name, matrix.shape[1])
        for name, matrix in arrays.items()
    )
    return EncodedMovies(features, arrays, frame, encoders)
