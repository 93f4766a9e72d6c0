"""Ratings as the inputs and the target of a recommender: rows of ratings, every user, or every item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from kmodels import checks, files
from kmodels.datasets.ratings import RatingTables
from kmodels.errors import ConfigurationError, DataError
from kmodels.features import Categorical, Feature, History, Numeric
from kmodels.models.two_tower import FREQUENCY
from kmodels.pipelines._sides import Side
from kmodels.pipelines.batches import Batches, Lookup
from kmodels.pipelines.histories import Histories, block_order, history_table
from kmodels.pipelines.split_batches import Part, SplitBatches
from kmodels.preprocessing import TableEncoder, Vocabulary, load_encoders, save_encoders
from kmodels.preprocessing.splits import Split, time_rank

#: Highest value of the scale on which histories are held, whatever the ratings' own.
FULL = 5
_ENCODERS, _ARRAYS = "encoders.json", "ratings.npz"


@dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings encoded by their training rows, as a model of `models.neumf` or `models.matrix_factorization` takes them.

    Ids are of any kind and ratings on any scale: the target is the rating divided by the scale's highest absolute
    value. Histories hold the ratings of the training rows; a row's own rating is in neither of its two histories.
    Every method takes the model that is to be fed and makes just the inputs it has.

    Attributes:
        user_id: int32 (rows,), from 1; 0 for a user without training rows.
        item_id: int32 (rows,), from 1; 0 for an item without training rows.
        rater: int32 (rows,), whose rating it is: `user_id`, and numbers from `n_users` on that tell users without
            training rows apart.
        rating: float32 (rows,).
        split: Positions of the training, validation and test rows.
        scale: Lowest and highest possible rating.
        timestamp: int64 (rows,), seconds; None without them.
        time_rank: int32 (rows,), the rows' order by time of `splits.time_rank`; None without timestamps.
        context: Name of an input -> float32 (rows, k); such as `preprocessing.earlier_surplus`.
        liked_only: Whether only held-out ratings from three quarters up the scale are relevant to rankings.

    Example:
        >>> from kmodels import models
        >>> from kmodels.preprocessing import splits
        >>> user, item = np.divmod(np.arange(40), 10)
        >>> table = pd.DataFrame({"user_id": user, "item_id": item, "rating": 2.0 + 2 * (item % 5)})
        >>> ratings = Ratings.fit(table, splits.random_per_user(user, item, seed=0))
        >>> ratings.n_users, ratings.n_items, ratings.scale
        (5, 11, (2.0, 10.0))
        >>> model = models.neumf(ratings.n_users, ratings.n_items, mean=ratings.mean)
        >>> train, validation, test = ratings.split_batches(model, batch_size=7)
        >>> sorted(train[0][0]), bool(train[0][1].max() <= 1)
        (['item_id', 'user_id'], True)
    """

    user_id: npt.NDArray[np.int32]
    item_id: npt.NDArray[np.int32]
    rater: npt.NDArray[np.int32]
    rating: npt.NDArray[np.float32]
    split: Split
    scale: tuple[float, float]
    timestamp: npt.NDArray[np.int64] | None
    time_rank: npt.NDArray[np.int32] | None
    context: Mapping[str, npt.NDArray[np.float32]]
    liked_only: bool
    _sides: Mapping[str, Side] = field(repr=False)  # "user" and "item"
    _rows: Mapping[str, npt.NDArray[np.int32]] = field(repr=False)  # of each row in the side's tables

    @classmethod
    def fit(
        cls,
        ratings: pd.DataFrame | RatingTables,
        split: Split,
        *,
        users: pd.DataFrame | None = None,
        items: pd.DataFrame | None = None,
        user_columns: Mapping[str, Any] | None = None,
        item_columns: Mapping[str, Any] | None = None,
        context: Mapping[str, npt.ArrayLike] | None = None,
        scale: tuple[float, float] | None = None,
        liked_only: bool = True,
    ) -> Self:
        """Learns ids and side features of the training rows and encodes all rows.

        Args:
            ratings: Columns user_id and item_id (integers or text), rating (numbers) and, where they are known,
                timestamp (integers); or `RatingTables`, whose users, items and scale are the defaults of these
                arguments.
            split: Positions of the training, validation and test rows.
            users: Column user_id, each id once, and what is known of each user; a user that is not in it has missing
                values. Default None.
            items: Likewise with item_id. Default None.
            user_columns: Name -> kind of `preprocessing.TableEncoder` of the users' columns to use; the others are
                left out. None, the default, infers every column's kind.
            item_columns: Likewise for the items.
            context: Name of an input -> numbers (rows, k) that belong to a rating, neither its user's nor its item's
                own, such as `preprocessing.earlier_surplus`; 0 is neutral. Default None.
            scale: Lowest and highest possible rating. None, the default, takes them from all ratings.
            liked_only: What `evaluation.recommender.rank` is to take as relevant. Default True.

        Returns:
            The encoded ratings. The inputs of side tables bear their columns' names; all numbers of a table are joined
            in `user_numbers` and `item_numbers`, and names that both tables have get `user_` or `item_` in front.

        Raises:
            DataError: If a column is missing, an id of a side table stands twice, a rating is missing, all are alike,
                there is no training row, or context features have other rows.
        """
        if isinstance(ratings, RatingTables):
            users = ratings.users if users is None else users
            items = ratings.items if items is None else items
            scale = ratings.scale if scale is None else scale
            ratings = ratings.ratings
        for column in ("user_id", "item_id", "rating"):
            if column not in ratings:
                raise DataError("the ratings lack a column", column=column, received=list(ratings))
        rating, train = ratings["rating"].to_numpy(np.float32), split.train
        if not len(train):
            raise DataError("there is no training row")
        checks.finite(rating, "rating")
        scale = (float(rating.min()), float(rating.max())) if scale is None else scale
        if not scale[0] < scale[1]:
            raise DataError("all ratings are alike", column="rating", received=scale[0])
        features = {name: _context(name, values, len(ratings)) for name, values in (context or {}).items()}
        tables = {"user": (users, user_columns), "item": (items, item_columns)}
        ids = {name: ratings[f"{name}_id"] for name in tables}
        sides = {name: Side.fit(name, ids[name].iloc[train], *table) for name, table in tables.items()}
        user_id, item_id = (side.vocabulary.transform(ids[name]) for name, side in sides.items())
        distinct = pd.factorize(ids["user"], use_na_sentinel=False)[0]
        rater = np.where(user_id > 0, user_id, sides["user"].vocabulary.size + distinct).astype(np.int32)
        rows = {name: side.rows_of(ids[name]) for name, side in sides.items()}
        times = ratings["timestamp"].to_numpy(np.int64) if "timestamp" in ratings else None
        ranks = None if times is None else time_rank(ids["user"], ids["item"], times).astype(np.int32)
        return cls(user_id, item_id, rater, rating, split, scale, times, ranks, features, liked_only, sides, rows)

    @property
    def n_users(self) -> int:
        """Rows of a table of users by `user_id`, row 0 for the unknown included."""
        return self._sides["user"].vocabulary.size

    @property
    def n_items(self) -> int:
        """Rows of a table of items by `item_id`, row 0 for the unknown included."""
        return self._sides["item"].vocabulary.size

    @property
    def encoders(self) -> dict[str, Vocabulary | TableEncoder]:
        """`user_id` and `item_id`, and `users` and `items` where there are side tables."""
        ids = {f"{name}_id": side.vocabulary for name, side in self._sides.items()}
        return ids | {f"{name}s": side.encoder for name, side in self._sides.items() if side.encoder is not None}

    def features(self) -> dict[str, tuple[Feature, ...]]:
        """The `user_features`, `item_features` and `context_features` that `models.neumf` takes."""
        features: dict[str, tuple[Feature, ...]] = {
            f"{name}_features": tuple(feature for _, feature in inputs.values())
            for name, inputs in self._inputs.items()
        }
        features["context_features"] = tuple(Numeric(name, values.shape[1]) for name, values in self.context.items())
        return features

    def histories(self) -> dict[str, History]:
        """For "user" and "item", the feature `user_history` or `item_history`, as `models.neumf` has them."""
        users, items = self.n_users, self.n_items
        return {"user": History("user_history", items, users), "item": History("item_history", users, items)}

    def item_features(self) -> sparse.csr_array:
        """The encoded side table of the items as numbers, float32 (n_items, k): one-hot where it has categories."""
        side = self._sides["item"]
        rows, blocks = side.rows_of_vocabulary(), [sparse.csr_array((self.n_items, 0), dtype=np.float32)]
        for name, feature in ((own, feature) for own, feature in self._inputs["item"].values()):
            values = side.tables[name][rows]
            if isinstance(feature, Categorical):
                cells, shape = (np.arange(len(rows)), values), (len(rows), feature.size)
                values = sparse.csr_array((np.ones(len(rows)), cells), shape=shape)[:, 1:]  # 0 is the unknown
            blocks.append(sparse.csr_array(values, dtype=np.float32))
        return sparse.hstack(blocks, format="csr")

    def arrays(self, part: str | None = None) -> dict[str, Any]:
        """Arguments of `evaluation.recommender.evaluate`; of a part, those of `evaluation.recommender.rate`."""
        if part is not None:
            chosen = getattr(self.split, part)
            return {"users": self.rater[chosen], "ratings": self.rating[chosen], "scale": self.scale}
        rows = {"users": self.user_id, "items": self.item_id, "ratings": self.rating, "split": self.split}
        rows |= {"raters": self.rater, "n_users": self.n_users, "n_items": self.n_items}
        return rows | {"scale": self.scale, "liked_only": self.liked_only}

    @property
    def train_rows(self) -> int:
        """Number of training rows."""
        return len(self.split.train)

    @property
    def highest(self) -> float:
        """Highest absolute value of the scale, by which targets are divided."""
        return max(map(abs, self.scale))

    @property
    def mean(self) -> float:
        """Mean target of the training rows."""
        return float(self.rating[self.split.train].mean()) / self.highest

    def target(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Ratings of some rows divided by `highest`, float32 (rows,)."""
        return (self.rating[rows] / self.highest).astype(np.float32)

    def in_units(self, target: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Predicted targets as ratings, clipped to the scale."""
        return np.clip(np.asarray(target) * self.highest, *self.scale)

    def batches(self, model: keras.Model, rows: npt.NDArray[np.int64], **options: Any) -> Batches:
        """Makes batches of some rows with their targets; takes the options of `Batches`.

        The target is the rating, for a model with the input `item_log_frequency` the position in the batch: a softmax
        over the items of a batch, as `models.two_tower` describes it. Other models of histories get the rows in a
        `block_order`. batch_size is by default 4096, for models of histories 16384 or, if more, a 64th of the rows.
        """
        self._check(model)
        ids = {"user": self.user_id[rows], "item": self.item_id[rows]}
        parts = self._parts(model, ids, {name: at[rows] for name, at in self._rows.items()})
        if context := {name: values for name, values in self.context.items() if name in _names(model)}:
            parts.append(Lookup(rows, context))
        inputs: dict[str, Any] = {"user_id": ids["user"], "item_id": ids["item"]}
        names, target = _names(model), self.target(rows)
        large = names & {"user_history", "item_history"}  # few large batches add up few histories more than once
        options = {"batch_size": max(2**14, len(rows) // 64) if large else 4096, **options}
        if FREQUENCY in names:
            share = np.bincount(ids["item"])[ids["item"]] / len(rows)
            inputs[FREQUENCY] = np.log(share, dtype=np.float32)[:, None]
            return Batches(inputs, _position, parts=parts, **options)
        if large:
            options["order"] = block_order(ids["user"], ids["item"], options["batch_size"])
        return Batches(inputs, target, parts=parts, **options)

    def split_batches(self, model: keras.Model, *, batch_size: int = 512, seed: int = 0) -> SplitBatches:
        """Makes the batches of the three parts: training rows shuffled in batches of equal size, others as they are."""
        order: dict[str, Any] = {"batch_size": batch_size, "shuffle": True, "seed": seed, "drop_remainder": True}
        others = (self.batches(model, rows) for rows in self.split[1:])
        return SplitBatches(self.batches(model, self.split.train, **order), *others)

    def new_batches(
        self,
        model: keras.Model,
        pairs: pd.DataFrame,
        *,
        context: Mapping[str, npt.ArrayLike] | None = None,
        known: sparse.csr_array | None = None,
    ) -> Batches:
        """Makes batches of new pairs, to predict their ratings.

        Args:
            model: The model to feed.
            pairs: Columns user_id and item_id, raw ids; those without training rows are known by their side tables
                alone.
            context: As for `fit`, of these pairs; neutral zeros where it is not given. Default None.
            known: What the user of each pair has rated, sparse (pairs, n_items) in the data's unit, for the histories
                of users. None, the default, takes the training rows.

        Returns:
            The batches, in the order of the pairs, without targets.
        """
        self._check(model)
        columns = {name: pairs[f"{name}_id"] for name in self._sides}
        ids = {name: side.vocabulary.transform(columns[name]) for name, side in self._sides.items()}
        rows = {name: side.rows_of(columns[name]) for name, side in self._sides.items()}
        given = {name: _context(name, values, len(pairs)) for name, values in (context or {}).items()}
        inputs = {"user_id": ids["user"], "item_id": ids["item"]} | self._neutral(model, len(pairs)) | given
        size = 4096 if known is None else min(4096, self.n_users)  # each row of `known` is a history of its own
        return Batches(inputs, parts=self._parts(model, ids, rows, known), batch_size=size)

    def interactions(
        self, rows: npt.NDArray[np.int64] | None = None, *, power: float = 1.0, half_life: float | None = None
    ) -> sparse.csr_array:
        """Collects each user's ratings of some rows as the histories that rankers take.

        Args:
            rows: Positions of the rows; those of an id 0 are left out. None, the default, takes the training rows.
            power: Exponent of the weights; above 1, high ratings count for more. Default 1.
            half_life: Number of later ratings of the same user after which a rating counts half. None, the default,
                counts old and new alike.

        Returns:
            float32 (n_users, n_items); an entry is the rating moved from the scale to 0.2 … 1, to the power of `power`.

        Raises:
            ConfigurationError: If half_life is given and there are no timestamps.
        """
        rows = self.split.train if rows is None else rows
        rows = rows[(self.user_id[rows] > 0) & (self.item_id[rows] > 0)]
        later = 0 if half_life is None else self._later(rows)
        weights = self.weights(self.rating[rows], later, power=power, half_life=half_life)
        pairs = self.user_id[rows], self.item_id[rows]
        return history_table(*pairs, weights, n_owners=self.n_users, n_members=self.n_items)

    def weights(
        self, ratings: npt.ArrayLike, later: npt.ArrayLike = 0, *, power: float = 1.0, half_life: float | None = None
    ) -> npt.NDArray[np.float32]:
        """The entries of `interactions`, float32, for ratings in the data's unit after which came so many `later`."""
        low, high = self.scale
        share = 0.2 + 0.8 * (np.asarray(ratings, np.float32) - low) / (high - low)
        age = 0 if half_life is None else np.asarray(later) / half_life
        return np.power(share, power, dtype=np.float32) * np.exp2(-age, dtype=np.float32)

    def _later(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How many of these rows are of the same user and later."""
        if self.time_rank is None:
            raise ConfigurationError("a half-life needs timestamps, which the ratings do not have")
        order = np.lexsort((self.time_rank[rows], self.user_id[rows]))
        users = self.user_id[rows][order]
        later = np.empty(len(rows), np.int64)
        later[order] = np.searchsorted(users, users, side="right") - 1 - np.arange(len(rows))
        return later

    def user_batches(
        self, model: keras.Model, users: npt.ArrayLike | None = None, known: sparse.csr_array | None = None
    ) -> Batches:
        """Makes one row for each user id from 0 on, with neutral context.

        Args:
            model: The model to feed, or its tower of users.
            users: Raw ids of the users to make a row for, None for one without an id. By default all ids from 0 on.
            known: What each of them has rated, as for `new_batches`. Default None.
        """
        users = self._sides["user"].vocabulary.inverse(np.arange(self.n_users)) if users is None else users
        return self._entity_batches(model, "user", users, known)

    def item_batches(self, model: keras.Model) -> Batches:
        """Makes one row for each item id from 0 on."""
        return self._entity_batches(model, "item", self._sides["item"].vocabulary.inverse(np.arange(self.n_items)))

    def save(self, folder: str | Path) -> None:
        """Writes what `load` needs to feed a model in a new process: `encoders.json` and `ratings.npz`.

        Args:
            folder: An existing folder, such as that of the model; earlier files are replaced whole or not at all.
        """
        train = self.split.train
        arrays: dict[str, Any] = {"scale": np.array(self.scale), "rating": self.rating[train]}
        arrays |= {"user_id": self.user_id[train], "item_id": self.item_id[train]}
        arrays |= {f"context.{name}": np.empty((0, values.shape[1])) for name, values in self.context.items()}
        if self.timestamp is not None and self.time_rank is not None:
            arrays |= {"timestamp": self.timestamp[train], "time_rank": self.time_rank[train]}
        for side in self._sides.values():
            arrays |= side.arrays()
        save_encoders(self.encoders, Path(folder) / _ENCODERS)
        files.write_arrays(Path(folder) / _ARRAYS, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote; the rows are the training rows.

        Args:
            folder: The folder.

        Returns:
            The ratings.

        Raises:
            DataError: If a file is missing or damaged.
        """
        path = Path(folder) / _ARRAYS
        encoders, arrays = load_encoders(Path(folder) / _ENCODERS), files.read_arrays(path)
        try:
            sides = {name: Side.of_arrays(name, encoders, arrays) for name in ("user", "item")}
            columns = [name for name in ("user_id", "item_id", "rating", "timestamp", "time_rank") if name in arrays]
            checks.same_length(0, **{name: arrays[name] for name in columns})
            rows = {
                name: side.rows_of_vocabulary()[checks.ids(arrays[f"{name}_id"], f"{name}_id", side.vocabulary.size)]
                for name, side in sides.items()
            }
            checks.numbers(arrays["rating"], "rating")
            context = {
                name.removeprefix("context."): np.zeros((len(arrays["rating"]), values.shape[1]), np.float32)
                for name, values in arrays.items()
                if name.startswith("context.")
            }
            low, high = checks.numbers(arrays["scale"], "scale").tolist()
            has_times = "timestamp" in arrays
            times = checks.numbers(arrays["timestamp"], "timestamp").astype(np.int64) if has_times else None
            ranks = checks.numbers(arrays["time_rank"], "time_rank").astype(np.int32) if has_times else None
            user_id = arrays["user_id"]
            ids = (user_id, arrays["item_id"], user_id, arrays["rating"])
        except files.DAMAGE as error:
            raise DataError(f"not the ratings of these encoders ({error})", file=path) from error
        none = np.array([], np.int64)
        split = Split(np.arange(len(ids[0])), none, none)
        return cls(*ids, split, (low, high), times, ranks, context, True, sides, rows)

    @cached_property
    def _inputs(self) -> dict[str, dict[str, tuple[str, Feature]]]:
        """For "user" and "item", what `Side.inputs` gives."""
        encoded = [{f.name for f in side.encoder.features} for side in self._sides.values() if side.encoder]
        shared = encoded[0] & encoded[1] if len(encoded) == 2 else set()
        return {name: side.inputs(self._own | shared) for name, side in self._sides.items()}

    @property
    def _own(self) -> set[str]:
        """Names of the inputs that are not of side tables."""
        histories = (name for feature in self.histories().values() for name in feature.inputs)
        return {"user_id", "item_id", FREQUENCY, *histories, *self.context}

    @cached_property
    def _user_history(self) -> sparse.csr_array:
        """Each user's training ratings less the mean of all."""
        train = self.split.train
        ids, values = (self.user_id[train], self.item_id[train]), self._above(self.rating[train])
        return history_table(*ids, values, n_owners=self.n_users, n_members=self.n_items).sorted_indices()

    @cached_property
    def _item_history(self) -> sparse.csr_array:
        return self._user_history.T.tocsr()

    def _above(self, ratings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Ratings less the mean of the training rows, on a scale whose highest value is 5."""
        factor = np.float32(FULL / self.highest)
        return ratings * factor - (self.rating[self.split.train] * factor).mean()

    def _check(self, model: keras.Model) -> None:
        """Refuses a model with inputs that are not made here."""
        made = self._own.union(*self._inputs.values())
        if lacking := sorted(_names(model) - made):
            raise ConfigurationError(
                f"the model has inputs that these ratings do not make: {', '.join(lacking)}; they make "
                f"{', '.join(sorted(made))}"
            )

    def _parts(
        self,
        model: keras.Model,
        ids: Mapping[str, npt.NDArray[np.int32]],
        rows: Mapping[str, npt.NDArray[np.int32]],
        known: sparse.csr_array | None = None,
    ) -> list[Part]:
        """Side features and histories of users, items or both: a pair's own rating is in neither of its histories."""
        names, parts = _names(model), list[Part]()
        for name, owners in ids.items():
            tables = self._sides[name].tables
            encoded = {made: tables[own] for made, (own, _) in self._inputs[name].items() if made in names}
            if encoded:
                parts.append(Lookup(rows[name], encoded))
            if f"{name}_history" in names:
                table = self._user_history if name == "user" else self._item_history
                if name == "user" and known is not None:
                    table = sparse.csr_array((self._above(known.data), known.indices, known.indptr), shape=known.shape)
                    owners = np.arange(len(owners), dtype=np.int32)
                feature = self.histories()[name]
                parts.append(Histories(feature, table, owners, ids.get("item" if name == "user" else "user")))
        return parts

    def _entity_batches(
        self, model: keras.Model, name: str, values: npt.ArrayLike, known: sparse.csr_array | None = None
    ) -> Batches:
        side, column = self._sides[name], pd.Series(values)
        ids = side.vocabulary.transform(column)
        parts = self._parts(model, {name: ids}, {name: side.rows_of(column)}, known)
        inputs = {f"{name}_id": ids, **(self._neutral(model, len(ids)) if name == "user" else {})}
        return Batches(inputs, parts=parts, batch_size=min(512, side.vocabulary.size))

    def _neutral(self, model: keras.Model, rows: int) -> dict[str, npt.NDArray[np.float32]]:
        """Context of nothing known."""
        names = _names(model)
        widths = {name: values.shape[1] for name, values in self.context.items() if name in names}
        return {name: np.zeros((rows, width), np.float32) for name, width in widths.items()}


def _position(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.arange(len(rows))


def _names(model: keras.Model) -> set[str]:
    return {tensor.name for tensor in model.inputs}


def _context(name: str, values: npt.ArrayLike, rows: int) -> npt.NDArray[np.float32]:
    array = np.asarray(values, np.float32)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != rows:
        raise DataError("wrong shape", column=name, expected=f"({rows}, k)", received=str(array.shape))
    checks.finite(array, name)
    return array
