"""A recipe's model of ratings from Parquet files of any size, which are never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from kmodels import backend
from kmodels.datasets.parquet import ParquetTable
from kmodels.datasets.sources import sha256
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation.baselines import STRENGTHS
from kmodels.pipelines import StreamedBatches
from kmodels.pipelines.split_batches import SplitBatches
from kmodels.preprocessing import Vocabulary, splits
from kmodels.preprocessing.splits import Split
from kmodels.report import figures
from kmodels.training.trained import predict_batches
from kmodels.workflow import rating
from kmodels.workflow.run import Run
from kmodels.workflow.variants import Fitted

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

COLUMNS = ("user_id", "item_id", "rating")
MIN_RATINGS = 5
HIGHEST_ID, HIGHEST_RATING = 2**31 - 1, 2**24
WINDOW = 2**22
PASS_ROWS = 2**19  # of a batch of a pass over the table
EVALUATION_ROWS = 2**15
SAVED_ROWS = 2**24  # rows between two checkpoints inside an epoch
SHOWN = 100_000  # test rows of the figures
SWEEPS = 4
_MERGED = 2**22
_MOST_KINDS = 100


@dataclass(frozen=True, eq=False)
class StreamedRatings:
    """Ratings in Parquet files, split by hash, with ids as the training rows have them.

    Attributes:
        table: The files.
        names: user_id, item_id, rating -> the table's name for it.
        seed: Of the split.
        vocabularies: "user" and "item" -> the ids with five training ratings or more; others are unknown, 0.
        counts: Part -> rows of each row group, int64 (groups,).
        scale: Lowest and highest rating.
        mean: Mean target of the training rows.
        distinct: "user" and "item" -> how many ids there are.
        kinds: Rating -> rows; empty where there are more than a hundred ratings.
    """

    table: ParquetTable
    names: Mapping[str, str]
    seed: int
    vocabularies: Mapping[str, Vocabulary]
    counts: Mapping[str, IntArray]
    scale: tuple[float, float]
    mean: float
    distinct: Mapping[str, int]
    kinds: Mapping[float, int]

    @classmethod
    def fit(cls, table: ParquetTable, names: Mapping[str, str], *, seed: int) -> Self:
        """Checks all rows and learns the ids, in one pass."""
        known = {side: Counts() for side in ("user", "item")}
        others = {side: Counts() for side in ("user", "item")}
        kinds, total = Counts(), 0.0
        counts = {part: np.zeros(len(table.groups), np.int64) for part in Split._fields}
        for group in tqdm(range(len(table.groups)), desc="ids", unit="group", disable=None):
            columns = dict(zip(COLUMNS, _checked(table, group, names), strict=True))
            split = splits.by_hash(columns["user_id"], columns["item_id"], seed=seed)
            for part, rows in split._asdict().items():
                counts[part][group] = len(rows)
            held_out = np.concatenate(split[1:])
            for side in known:
                known[side].add(columns[f"{side}_id"][split.train])
                others[side].add(columns[f"{side}_id"][held_out])
            kinds.add(columns["rating"])
            total += columns["rating"][split.train].sum(dtype=np.float64)
        for part, rows in counts.items():
            if not rows.any():
                raise DataError(f"no row is left for the {part} part", file=table.path, received=f"{table.rows} rows")
        ratings, rows = kinds.merged()
        if len(ratings) == 1:
            raise DataError("all ratings are alike", file=table.path, column=names["rating"], received=ratings[0])
        vocabularies, distinct = {}, {}
        for side, each in known.items():
            ids, many = each.merged()
            frequent = ids[many >= MIN_RATINGS]
            if not len(frequent):
                expected = f"{MIN_RATINGS} training ratings of at least one"
                raise DataError("every id is rare", file=table.path, column=names[f"{side}_id"], expected=expected)
            vocabularies[side] = Vocabulary(tuple(frequent.tolist()))
            distinct[side] = len(np.union1d(ids, others[side].merged()[0]))
        scale = float(ratings[0]), float(ratings[-1])
        mean = total / counts["train"].sum() / max(map(abs, scale))
        listed = dict(zip(ratings.tolist(), rows.tolist(), strict=True)) if len(ratings) <= _MOST_KINDS else {}
        return cls(table, names, seed, vocabularies, counts, scale, float(mean), distinct, listed)

    @property
    def n_users(self) -> int:
        """Rows of a table of users, row 0 for the unknown included."""
        return self.vocabularies["user"].size

    @property
    def n_items(self) -> int:
        """Rows of a table of items, row 0 for the unknown included."""
        return self.vocabularies["item"].size

    @property
    def train_rows(self) -> int:
        """Number of training rows."""
        return int(self.counts["train"].sum())

    @property
    def highest(self) -> float:
        """Highest absolute value of the scale, by which targets are divided."""
        return max(map(abs, self.scale))

    def features(self) -> dict[str, tuple[()]]:
        """There are none: a stream knows ids alone."""
        return {}

    def in_units(self, target: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Predicted targets as ratings, clipped to the scale."""
        return np.clip(np.asarray(target) * self.highest, *self.scale)

    def batches(self, part: str, **options: Any) -> StreamedBatches:
        """Batches of a part; takes the options of `StreamedBatches`."""
        users, items, score = (self.names[name] for name in COLUMNS)
        number = Split._fields.index(part)

        def keep(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
            return splits.parts_by_hash(frame[users], frame[items], seed=self.seed) == number

        transform = {"user_id": _transform(self.vocabularies["user"]), "item_id": _transform(self.vocabularies["item"])}

        def encode(frame: pd.DataFrame) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.float32]]:
            ids = {"user_id": frame[users].to_numpy(), "item_id": frame[items].to_numpy()}
            target = (frame[score].to_numpy(np.float64) / self.highest).astype(np.float32)
            return {name: transform[name](each) for name, each in ids.items()}, target

        options = {"keep": keep, "counts": self.counts[part], "window": WINDOW, **options}
        return StreamedBatches(self.table, encode, **options)

    def split_batches(self, model: keras.Model, *, batch_size: int, seed: int) -> SplitBatches:
        """The batches of the three parts: training rows shuffled in batches of equal size, others as they are."""
        train = self.batches("train", batch_size=batch_size, shuffle=True, seed=seed, drop_remainder=True)
        others = (self.batches(part, batch_size=EVALUATION_ROWS) for part in Split._fields[1:])
        return SplitBatches(train, *others)

    def scan(self, part: str, what: str) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """Users, items and ratings of a part, in pieces, with a progress bar."""
        batches = self.batches(part, batch_size=PASS_ROWS)
        for i in tqdm(range(len(batches)), desc=what, unit="batch", disable=None):
            inputs, target = batches[i]
            yield inputs["user_id"], inputs["item_id"], target.astype(np.float64) * self.highest

    def facts(self, digest: str) -> dict[str, Any]:
        """The counts of a report."""
        return {
            "rows": self.table.rows,
            "users": self.distinct["user"],
            "items": self.distinct["item"],
            "format": "table",
            "sha256": digest,
            "files": len(self.table.files),
            "row groups": len(self.table.groups),
            "kept": f"all rows; ids with fewer than {MIN_RATINGS} training ratings are unknown, id 0: of the users "
            f"{self.distinct['user'] - self.n_users + 1:,}, of the items {self.distinct['item'] - self.n_items + 1:,}",
            "unit": "",
            "rating_counts": {f"{rating:g}": rows for rating, rows in self.kinds.items()},
            "split_name": "hash",
            "split": {part: int(rows.sum()) for part, rows in self.counts.items()},
        }


class Counts:
    """How often each number occurs in a column that comes in pieces, in memory of the size of the distinct ones."""

    def __init__(self) -> None:
        self._pieces: list[tuple[npt.NDArray[Any], IntArray]] = []
        self._waiting = 0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Counts some more."""
        self._pieces.append(np.unique(values, return_counts=True))
        self._waiting += len(self._pieces[-1][0])
        if self._waiting > max(_MERGED, 2 * len(self._pieces[0][0])):
            self._pieces = [self.merged()]
            self._waiting = 0

    def merged(self) -> tuple[npt.NDArray[Any], IntArray]:
        """The distinct numbers in ascending order, and how often each occurs."""
        values, counts = (np.concatenate(each) for each in zip(*self._pieces, strict=True))
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
        starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
        return values[starts], np.add.reduceat(counts, starts)


def rate(
    run: Run, fit: Callable[[Run, Any, dict[str, Any]], Fitted], settings: Mapping[str, Any], names: Mapping[str, str]
) -> None:
    """Trains and evaluates a model of ratings on a stream: the whole of a recipe after its flags.

    `fit` is the recipe's own; it gets `StreamedRatings` in place of `pipelines.Ratings`.
    """
    args = run.args
    _refuse(args)
    args.model, args.split, args.ranker = "factors", "hash", "none"
    with run.timed("load_s"):
        written = {name: names.get(name, name) for name in COLUMNS}
        table = ParquetTable(Path(args.data), list(written.values()))
        digest = sha256(*table.files)
    with run.timed("prepare_s"):
        ratings = StreamedRatings.fit(table, written, seed=args.seed)
    settings, size = rating.for_rows(settings, ratings.train_rows)
    args.batch_size = args.batch_size or size
    if backend.distribution() is None:
        run.save_every = -(-SAVED_ROWS // args.batch_size)
    run.open(digest)
    print(f"{table.rows:,} ratings in {len(table.groups):,} row groups; {ratings.facts(digest)['kept']}", flush=True)
    fitted = fit(run, ratings, settings)
    with run.timed("evaluate_s"):
        biases = fit_biases(ratings)
        found, shown = evaluate(ratings, fitted.model, biases, seed=args.seed)
    best = int(np.argmin([found["validation"][f"biases {number}"]["rmse"] for number in range(len(STRENGTHS))]))
    baselines = {"global_mean": found["test"]["global_mean"], "biases": found["test"][f"biases {best}"]}
    variant = run.variant(fitted, test=found["test"]["model"], validation=found["validation"]["model"])
    record = run.record(data=ratings.facts(digest), model=variant, baselines=baselines, streamed=True)
    drawn = figures.regression_figures(record, *shown, history=fitted.history)
    run.save(fitted.model, {f"{side}_id": each for side, each in ratings.vocabularies.items()})
    some = len(shown[0]) < ratings.counts["test"].sum()
    lines = [f"Figures of errors show {len(shown[0]):,} test rows, drawn at random."] if some else []
    headline = ("rmse", "mae", "r2")
    run.write(record, {fitted.name: fitted}, figures=drawn, headline=headline, lines=lines, ranked=None, examples=[])


def fit_biases(ratings: StreamedRatings) -> tuple[float, tuple[FloatArray, FloatArray]]:
    """The mean, and biases of users and items, (ids, regularisations): those of `evaluation.baselines.fit_biases`.

    Each half of a sweep is a pass over the training rows, for all regularisations at once.
    """
    sizes, strengths = (ratings.n_users, ratings.n_items), np.array(STRENGTHS)
    mean, counts, sums = ratings.mean * ratings.highest, [np.zeros(n) for n in sizes], [np.zeros(n) for n in sizes]
    for *ids, value in ratings.scan("train", "means"):
        known = (ids[0] > 0) & (ids[1] > 0)
        for side, each in enumerate(ids):
            counts[side] += np.bincount(each[known], minlength=sizes[side])
            sums[side] += np.bincount(each[known], value[known] - mean, minlength=sizes[side])
    biases = [np.zeros((n, len(strengths))) for n in sizes]
    biases[1] = sums[1][:, None] / (counts[1][:, None] + strengths)
    for sweep in range(SWEEPS):
        for side in (0, 1):
            explained = np.zeros_like(biases[side])
            for *ids, _ in ratings.scan("train", f"biases {2 * sweep + side + 1}/{2 * SWEEPS}"):
                known = (ids[0] > 0) & (ids[1] > 0)
                own, other = ids[side][known], biases[1 - side][ids[1 - side][known]]
                for column in range(len(strengths)):
                    explained[:, column] += np.bincount(own, other[:, column], minlength=sizes[side])
            biases[side] = (sums[side][:, None] - explained) / (counts[side][:, None] + strengths)
        # A constant that moves from one side to the other changes only the penalty: see the function above.
        active = [each > 0 for each in counts]
        shift = (biases[1].sum(0) - biases[0].sum(0)) / max(1, active[0].sum() + active[1].sum())
        biases[0] += shift * active[0][:, None]
        biases[1] -= shift * active[1][:, None]
    return mean, (biases[0], biases[1])


def evaluate(
    ratings: StreamedRatings, model: keras.Model, fitted: tuple[float, tuple[FloatArray, FloatArray]], *, seed: int
) -> tuple[dict[str, dict[str, dict[str, float]]], list[npt.NDArray[np.floating]]]:
    """Part -> "model", "global_mean" and "biases 0" … -> errors; and true and predicted ratings of some test rows."""
    mean, (of_users, of_items) = fitted
    found: dict[str, dict[str, dict[str, float]]] = {}
    rng, shown = np.random.default_rng(seed), []
    for part in Split._fields[1:]:
        batches = ratings.batches(part, batch_size=EVALUATION_ROWS)
        errors: dict[str, Errors] = {}
        predicted = tqdm(predict_batches(model, batches), desc=part, total=len(batches), unit="batch", disable=None)
        for i, target in enumerate(predicted):
            inputs, true = batches[i]
            true, own = true.astype(np.float64) * ratings.highest, ratings.in_units(target).reshape(-1)
            sums = mean + of_users[inputs["user_id"]] + of_items[inputs["item_id"]]
            each = {f"biases {number}": np.clip(column, *ratings.scale) for number, column in enumerate(sums.T)}
            for name, values in {"model": own, "global_mean": np.full(len(true), mean), **each}.items():
                errors.setdefault(name, Errors()).add(true, values)
            if part == "test":
                chosen = rng.random(len(true)) < SHOWN / batches.rows
                shown.append((true[chosen], own[chosen]))
        found[part] = {name: each.metrics() for name, each in errors.items()}
        for each in found[part].values():
            each["rmse_normalised"] = each["rmse"] / ratings.highest
    return found, [np.concatenate(each) for each in zip(*shown, strict=True)]


class Errors:
    """The metrics of `evaluation.regression.regression_metrics`, of rows that come in pieces."""

    def __init__(self) -> None:
        self.sums = np.zeros(5)

    def add(self, true: FloatArray, predicted: npt.NDArray[np.floating]) -> None:
        """Adds some rows."""
        error = predicted - true
        self.sums += len(true), np.square(error).sum(), np.abs(error).sum(), true.sum(), np.square(true).sum()

    def metrics(self) -> dict[str, float]:
        """`rmse`, `mae` and `r2` of all rows so far."""
        rows, squares, absolute, true, true_squares = self.sums.tolist()
        variance = true_squares - true**2 / rows
        r2 = 1 - squares / variance if variance > 0 else float(squares == 0)
        return {"rmse": (squares / rows) ** 0.5, "mae": absolute / rows, "r2": r2}


def _transform(vocabulary: Vocabulary) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.int32]]:
    """`vocabulary.transform` of whole numbers from 0, by a table where it has at most 64 bytes for each known id."""
    values = np.array(vocabulary.values)
    if values[-1] > 16 * len(values):
        return vocabulary.transform
    table = np.zeros(values[-1] + 2, np.int32)
    table[values] = np.arange(1, vocabulary.size)
    return lambda ids: table.take(ids, mode="clip")  # larger ids are the last one, 0


def _refuse(args: Any) -> None:
    """Refuses flags that need all rows at once."""
    if args.data == "sample":
        raise ConfigurationError("--stream reads Parquet: name a file or a folder of files by --data")
    needs = {
        "--model": args.model not in (None, "factors") and args.model,
        "--split": args.split not in (None, "hash") and args.split,
        "--ranker": args.ranker not in (None, "none") and args.ranker,
        "--tune": args.tune,
        "--refit": args.refit,
        "--users": args.users,
        "--items": args.items,
    }
    for flag, value in needs.items():
        if value:
            given = flag if value is True else f"{flag} {value}"
            raise ConfigurationError(f"{flag} needs all rows at once, which --stream never has. Received: {given}")


def _checked(table: ParquetTable, group: int, names: Mapping[str, str]) -> list[npt.NDArray[Any]]:
    """The columns of a row group, ids as int64; what is no id or no rating is refused by its row in the file."""
    frame, found = table.read(group), []
    for name in COLUMNS:
        column = frame[names[name]]
        where: dict[str, Any] = {"file": table.groups[group].file, "column": names[name]}
        if (gaps := column.isna().to_numpy()).any():
            raise DataError("a value is missing", row=int(frame.index[int(gaps.argmax())]), **where)
        is_id = name != "rating"
        low, high = (0, HIGHEST_ID) if is_id else (-HIGHEST_RATING, HIGHEST_RATING)
        expected = f"{'whole numbers' if is_id else 'numbers'} from {low} to {high}"
        if column.dtype.kind not in ("iu" if is_id else "iuf"):
            raise DataError("another type", expected=expected, received=str(column.dtype), **where)
        values = column.to_numpy()
        if (wrong := ~((values >= low) & (values <= high))).any():
            at = int(wrong.argmax())
            received = values[at].item()
            raise DataError("out of range", row=int(frame.index[at]), expected=expected, received=received, **where)
        found.append(values.astype(np.int64 if is_id else np.float32))
    return found
