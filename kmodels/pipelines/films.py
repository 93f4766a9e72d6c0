"""Films as a problem of two classes, divided into folds, by time, or not at all: parts, inputs and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets import movies
from kmodels.errors import DataError
from kmodels.evaluation import tabular
from kmodels.pipelines.batches import Batches
from kmodels.preprocessing import splits
from kmodels.preprocessing.movies import EncodedMovies, encode_movies
from kmodels.preprocessing.splits import Split

_VALIDATION, _TEST = 0.1, 0.2


@dataclass(frozen=True, eq=False)
class Division:
    """Films divided once, with the inputs fitted on that training part.

    Attributes:
        split: Positions of the films of each part.
        encoded: The inputs of all films.
        target: int32 (films,), 1 for a profit.
    """

    split: Split
    encoded: EncodedMovies
    target: npt.NDArray[np.int32]

    def training(self, *, batch_size: int, seed: int) -> Batches:
        """Shuffled batches of the training films, of equal size.

        Args:
            batch_size: Films of a batch.
            seed: Seed of the order.

        Returns:
            The batches.
        """
        return self._batches(self.split.train, batch_size=batch_size, shuffle=True, seed=seed, drop_remainder=True)

    def batches(self, part: str, *, batch_size: int = 1024) -> Batches:
        """Batches of a part in its own order.

        Args:
            part: "train", "validation" or "test".
            batch_size: Films of a batch. Default 1024.

        Returns:
            The batches.
        """
        return self._batches(getattr(self.split, part), batch_size=batch_size)

    def judged(self) -> dict[str, npt.NDArray[np.int64]]:
        """Names the parts that a model is judged on, those without films left out.

        Returns:
            "validation" and "test" -> positions of films.
        """
        return {part: rows for part, rows in self.split._asdict().items() if part != "train" and len(rows)}

    def all_judged(self) -> Batches:
        """Batches of all parts of `judged`, one part after the other.

        Returns:
            The batches; `by_part` takes apart what is said of them.
        """
        return self._batches(np.concatenate(list(self.judged().values())), batch_size=4096)

    def by_part(self, values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Takes apart what is said of `all_judged`.

        Args:
            values: (rows, …), a row for each film.

        Returns:
            Part -> its rows of the values.
        """
        judged = self.judged()
        ends = np.cumsum([len(rows) for rows in judged.values()])
        return dict(zip(judged, np.split(values, ends[:-1]), strict=True))

    def truth(self, part: str) -> npt.NDArray[np.int32]:
        """Gives the classes of a part.

        Args:
            part: "train", "validation" or "test".

        Returns:
            int32 (films of the part,).
        """
        return self.target[getattr(self.split, part)]

    def summary(self) -> dict[str, Any]:
        """Counts what a model card says of it.

        Returns:
            Part -> films; and `columns`, the names of the inputs' columns, input by input.
        """
        return {part: len(rows) for part, rows in self.split._asdict().items()} | {"columns": list(self.encoded.frame)}

    def _batches(self, rows: npt.NDArray[np.int64], **how: Any) -> Batches:
        return Batches({name: array[rows] for name, array in self.encoded.arrays.items()}, self.target[rows], **how)


@dataclass(frozen=True, eq=False)
class Films:
    """A table of films, divided in every way that the comparison of models needs.

    Attributes:
        target: int32 (films,), 1 for a profit.
        folds: "fold_1" … -> the division of which that fold is the test part; a tenth of all films validates.
        unscaled: The first fold with inputs as the table has them, see `preprocessing.movies.encode_movies`.
        timed: "by_time" -> the newest fifth of the films tests and the tenth before validates; empty where the table
            does not allow it. Films without a date are in no part.
        period: `train_until`, `test_from` (dates as text) and `without_date` (number of films), or `left_out`, the
            reason why there is no such division.
        final: All films for training but a tenth for validation, for the model that is handed over.
    """

    target: npt.NDArray[np.int32]
    folds: Mapping[str, Division]
    unscaled: Division
    timed: Mapping[str, Division]
    period: Mapping[str, str | int]
    final: Division

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        target: npt.NDArray[np.int32],
        inputs: Sequence[str],
        *,
        folds: int = 5,
        seed: int = 0,
    ) -> Films:
        """Divides and encodes films.

        Args:
            table: As `datasets.movies` makes it.
            target: (films,) 1 for a profit.
            inputs: Columns to use.
            folds: Number of folds, 2 or more. Default 5.
            seed: Seed of all divisions. Default 0.

        Returns:
            The films.

        Raises:
            ConfigurationError: Fewer than two folds.
            DataError: Too few films of a class, or a column without values.

        Example:
            >>> dates = pd.to_datetime([f"19{year}-01-01" for year in range(40, 80)])
            >>> table = pd.DataFrame({"budget": np.arange(1.0, 41.0), "release_date": dates})
            >>> films = Films.of(table, np.tile([0, 1], 20), ["budget"], folds=4)
            >>> [len(part) for part in films.folds["fold_1"].split], [len(part) for part in films.final.split]
            ([26, 4, 10], [36, 4, 0])
            >>> films.timed["by_time"].split.test.tolist(), films.period["test_from"]
            ([32, 33, 34, 35, 36, 37, 38, 39], '1972-01-01')
        """

        def divide(split: Split, scaled: bool = True) -> Division:
            encoded = encode_movies(table, target, split.train, inputs=inputs, scaled=scaled, seed=seed)
            return Division(split, encoded, target)

        by_fold = splits.folds(target, n_folds=folds, seed=seed, validation=_VALIDATION)
        names = [f"fold_{number}" for number in range(1, folds + 1)]
        final = splits.stratified(target, seed=seed, validation=_VALIDATION, test=0)
        try:
            by_time, period = _by_time(table, target)
        except DataError as error:
            by_time, period = None, {"left_out": str(error)}
        return cls(
            target,
            {name: divide(split) for name, split in zip(names, by_fold, strict=True)},
            divide(by_fold[0], scaled=False),
            {"by_time": divide(by_time)} if by_time else {},
            period,
            divide(final),
        )

    def scaled(self) -> dict[str, Division]:
        """Gives the folds and the division by time, on which all models are trained.

        Returns:
            Name -> division.
        """
        return {**self.folds, **self.timed}

    def judged(self) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
        """Names the films that models are judged on.

        Returns:
            Name of each division of `scaled` -> what its `judged` gives.
        """
        return {name: division.judged() for name, division in self.scaled().items()}

    def baselines(self, *, seed: int) -> dict[str, dict[str, dict[str, npt.NDArray[np.float64]]]]:
        """Fits those of `evaluation.tabular` to the training films of each division.

        Args:
            seed: Seed of folds and boosting.

        Returns:
            Baseline -> division -> "validation" and "test" -> probabilities, float64 (films, 2).
        """
        found: dict[str, dict[str, dict[str, npt.NDArray[np.float64]]]] = {}
        for name, division in self.scaled().items():
            x, rows = division.encoded.frame, division.split.train
            fitted = tabular.fit_classifiers(x.iloc[rows], self.target[rows], seed=seed)
            for who, predict in fitted.items():
                share = {part: predict(x.iloc[judged]) for part, judged in division.judged().items()}
                found.setdefault(who, {})[name] = share
        return found

    def out_of_fold(self, probability: Mapping[str, Mapping[str, npt.ArrayLike]]) -> npt.NDArray[np.float64]:
        """Puts the test parts of all folds together: what is said of each film by the model not trained on it.

        Args:
            probability: Name of each fold -> "test" -> (films of its test part, 2); all else is passed over.

        Returns:
            float64 (films, 2).
        """
        result = np.empty((len(self.target), 2))
        for name, division in self.folds.items():
            result[division.split.test] = probability[name]["test"]
        return result

    def summary(self) -> dict[str, Any]:
        """Counts what a report says of the divisions.

        Returns:
            `class_counts` (films of each class), `split` (part of the first fold -> films) and `split_name`.
        """
        return {
            "class_counts": dict(zip(movies.LABELS, np.bincount(self.target).tolist(), strict=True)),
            "split": {part: len(rows) for part, rows in self.folds["fold_1"].split._asdict().items()},
            "split_name": f"the first of {len(self.folds)} folds, at random within each class",
        }


def _by_time(table: pd.DataFrame, target: npt.NDArray[np.int32]) -> tuple[Split, dict[str, str | int]]:
    if "release_date" not in table or table["release_date"].isna().all():
        raise DataError("there are no release dates")
    dates = table["release_date"].to_numpy()
    dated = np.flatnonzero(~np.isnat(dates))
    split = Split(*(dated[part] for part in splits.by_time(dates[dated], validation=_VALIDATION, test=_TEST)))
    for part, rows in split._asdict().items():
        if not len(rows):
            raise DataError(f"no film is left for the {part} part", received=f"{len(dated)} films with a date")
    splits.require_classes(target, split, movies.LABELS)
    until, start = dates[split.train].max(), dates[split.test].min()
    days = {"train_until": str(until.astype("datetime64[D]")), "test_from": str(start.astype("datetime64[D]"))}
    return split, {**days, "without_date": len(dates) - len(dated)}
