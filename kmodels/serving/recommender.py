"""A recommender: what comes first, for known and for new users, from one folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from kmodels import files, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Ratings
from kmodels.preprocessing import Vocabulary
from kmodels.serving.known import Known, guests, raw_ids, shown_columns
from kmodels.serving.neighbours import similar
from kmodels.serving.predictor import load_model
from kmodels.serving.rankers import People, Ranker, find, open_ranker, vocabulary

#: The files of a folder apart from those of `pipelines.Ratings`; the first one is written last.
RECOMMENDER, KNOWN = "recommender.json", "known.npz"
MODELS = {"ranker": "ranker.keras", "model": "model.keras"}
_SETTINGS = ("power", "half_life")
_OWN = ("user_id", "person", "rank", "score", "rating", "value", "neighbour", "similarity")


class Recommender:
    """Recommends items to known users and to new ones, without training anew.

    Raw ids go in and come out. An item may also be named by its title, where `items` has them.

    Args:
        ratings: What the models were trained on; its training rows make the catalogue.
        ranker: A model that `ranker_scores` takes. Default None: it recommends nothing.
        model: A model of ratings that is fed by `ratings.batches`. Default None: it predicts none.
        known: All ratings that are known at the time of a request, with columns user_id, item_id, rating and, where
            the order matters, timestamp; also of users without training rows. None, the default, takes the training
            rows.
        items: Column item_id, each id once, and what is shown of an item, such as its title. Default None.
        settings: `power` and `half_life` of `Ratings.interactions`, as in the training of the ranker; other names are
            not used. Default none.

    Raises:
        ConfigurationError: If the ranker has other inputs, there is neither ranker nor model, there is a half-life and
            no timestamp, or `items` has a column that recommendations have too.
        DataError: If a column is missing, a pair stands twice, or a rating is outside the scale.

    Example:
        >>> from kmodels import models
        >>> from kmodels.preprocessing import splits
        >>> user, item = np.divmod(np.arange(40), 10)
        >>> table = pd.DataFrame({"user_id": user, "item_id": item, "rating": 1.0 + (user + item) % 5})
        >>> ratings = Ratings.fit(table, splits.random_per_user(user, item, seed=0))
        >>> ranker = training.fit_ease(models.ease(ratings.n_items), ratings.interactions(), l2=1.0)
        >>> recommender = Recommender(ratings, ranker=ranker)
        >>> recommender.recommend(3, k=2)[["user_id", "rank", "item_id"]]
           user_id  rank  item_id
        0        3     1        4
        1        3     2        7
        >>> recommender.recommend_for({5: 5, 7: 4}, k=2)["item_id"].tolist()
        [2, 1]
    """

    def __init__(
        self,
        ratings: Ratings,
        *,
        ranker: keras.Model | None = None,
        model: keras.Model | None = None,
        known: pd.DataFrame | Known | None = None,
        items: pd.DataFrame | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if ranker is None and model is None:
            raise ConfigurationError("a recommender needs a ranker or a model of ratings")
        self.ratings, self.ranker, self.model = ratings, ranker, model
        if isinstance(known, pd.DataFrame):
            known = Known.of_table(known, ratings)
        self.known = known or Known.of_training(ratings)
        given = settings or {}
        self.settings = {name: float(given[name]) for name in _SETTINGS if given.get(name) is not None}
        if "half_life" in self.settings and not self.known.ordered:
            raise ConfigurationError("a half-life needs timestamps, which the known ratings do not have")
        self._catalogue = vocabulary(ratings, "item_id")
        self._items, self._people = raw_ids(self._catalogue), raw_ids(self.known.users)
        self._shown = {} if items is None else shown_columns(items, self._items, taken=_OWN)
        counts = np.bincount(self.known.ratings.indices, minlength=ratings.n_items)
        self._preference = np.argsort(np.argsort(-counts, kind="stable"))
        self._ranker = None if ranker is None else open_ranker(ranker, ratings)

    def recommend(
        self, users: Any, k: int = 10, *, exclude_seen: bool = True, candidates: Iterable[Any] | None = None
    ) -> pd.DataFrame:
        """Recommends items to known users.

        Args:
            users: A user, or a list of them, by raw ids: those of the training rows and of `known`.
            k: Number of items for each, 1 to the size of the catalogue. Default 10.
            exclude_seen: Whether items that a user has rated are left out. Default True.
            candidates: Items to choose from. None, the default, takes the whole catalogue.

        Returns:
            Up to k rows for each user, in their order: `user_id`, `rank` (1 is the best), `item_id`, `score` (the
            ranker's own, higher is better) and the columns of `items`. There are fewer rows where fewer candidates are
            left. Of equal scores the item with more known ratings comes first.

        Raises:
            ConfigurationError: If k is out of range or there is no ranker.
            DataError: If a user or an item is unknown, or the ranker knows users by their ids alone and one has no
                training rows.
        """
        ids = self._user_ids(users)
        return self._recommended("user_id", self._people[ids - 1], self._who(ids), k, exclude_seen, candidates)

    def recommend_for(
        self,
        ratings: Mapping[Any, float] | Iterable[Mapping[Any, float]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Iterable[Any] | None = None,
    ) -> pd.DataFrame:
        """Recommends items to people who are known by some ratings alone; nothing is trained.

        Args:
            ratings: Item -> rating, in the data's unit, oldest first; or a list of those, one for each person. Without
                ratings, what a ranker makes of nothing: the items with most ratings, if it makes nothing of it.
            k: As for `recommend`. Default 10.
            exclude_seen: As for `recommend`. Default True.
            candidates: As for `recommend`. Default None.

        Returns:
            As of `recommend`, with the position in the list, from 0, as `person` in place of `user_id`.

        Raises:
            ConfigurationError: If k is out of range or there is no ranker.
            DataError: If an item is unknown or named twice, a rating is outside the scale, or the ranker knows users
                by their ids alone.
        """
        given = [ratings] if isinstance(ratings, Mapping) else list(ratings)
        rows = []
        for each in given:
            ids = self._item_ids(each).tolist()
            if len(set(ids)) < len(ids):
                twice = next(item for i, item in enumerate(each) if ids[i] in ids[:i])
                raise DataError("an item is rated twice", received=twice)
            rows.append(dict(zip(ids, each.values(), strict=True)))
        table = guests(rows, self.ratings)
        people = People(np.full(len(rows), None), table, lambda: self._weights(table))
        return self._recommended("person", np.arange(len(rows)), people, k, exclude_seen, candidates)

    def all(self, k: int = 10, *, exclude_seen: bool = True, block: int = 1024) -> Iterator[pd.DataFrame]:
        """Recommends items to everybody, by blocks of users.

        Args:
            k: As for `recommend`. Default 10.
            exclude_seen: As for `recommend`. Default True.
            block: Users at a time: what the ranker makes of them and their recommendations are held, and apart from
                that some 30 MB. Default 1024.

        Yields:
            The table of `recommend` for the users of a block; users ascend. Where the ranker knows users by their ids
            alone, those without training rows are left out.

        Raises:
            ConfigurationError: If k or the block is out of range or there is no ranker.
        """
        if block < 1:
            raise ConfigurationError(f"block must be at least 1. Received: block={block}")
        everybody = np.arange(1, self.known.users.size)
        if self._ranker and not self._ranker.newcomers:
            everybody = everybody[self._trained(self._people) > 0]
        for start in range(0, len(everybody), block):
            ids = everybody[start : start + block]
            yield self._recommended("user_id", self._people[ids - 1], self._who(ids), k, exclude_seen, None)

    def rate(self, user: Any, items: Iterable[Any]) -> pd.DataFrame:
        """Predicts how a known user rates some items, by the model of ratings.

        Args:
            user: The user's raw id.
            items: The items.

        Returns:
            A row for each item, in their order: `user_id`, `item_id`, `rating` in the data's unit and the columns of
            `items`. A rating of the item itself that is known is not used.

        Raises:
            ConfigurationError: If there is no model of ratings.
            DataError: If the user or an item is unknown.
        """
        if self.model is None:
            raise ConfigurationError("there is no model of ratings: only a ranker")
        (person,), ids = self._user_ids(user), self._item_ids(items)
        pairs, predicted = pd.DataFrame({"user_id": user, "item_id": self._items[ids - 1]}), np.empty(0)
        if len(pairs):
            known = self.known.ratings[np.full(len(ids), person)]
            rows = self.ratings.new_batches(self.model, pairs, known=known)
            predicted = self.ratings.in_units(training.predict(self.model, rows)).astype(float)
        return pairs.assign(rating=predicted, **self._columns(ids))

    def similar_items(self, items: Any, k: int = 10) -> pd.DataFrame:
        """Finds the items most like some.

        Items are compared by the cosine of their vectors: of a ranker of histories those in the kernel of its last
        layer, of the others, or of the model of ratings where there is no ranker, those of the items' tower.

        Args:
            items: An item, or a list of them.
            k: Number of items for each. Default 10.

        Returns:
            The table of `similar`, with the columns of `items` of the neighbours.

        Raises:
            ConfigurationError: If k is below 1 or there are not k others.
            DataError: If an item is unknown.
        """
        asked = self._items[self._item_ids(items) - 1]
        found = similar(self._alike.items, self._catalogue, asked.tolist(), k)
        return found.assign(**self._columns(self._catalogue.transform(found["neighbour"])))

    def similar_users(self, users: Any, k: int = 10) -> pd.DataFrame:
        """Finds the users most like some.

        Users are compared by the cosine of the vectors that the ranker makes of what is known of them (histories
        themselves, where its only layer is linear), or the model of ratings where there is no ranker.

        Args:
            users: A user, or a list of them.
            k: Number of users for each. Default 10.

        Returns:
            The table of `similar`.

        Raises:
            ConfigurationError: If k is below 1 or there are not k others.
            DataError: If a user is unknown.
        """
        asked = self._people[self._user_ids(users) - 1]
        return similar(self._user_vectors, self.known.users, asked.tolist(), k)

    def save(self, folder: str | Path) -> Self:
        """Writes all that `load` needs.

        Args:
            folder: Where to; made if need be. Other files in it stay. Where writing fails, there is no recommender in
                the folder.

        Returns:
            The recommender itself.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECOMMENDER).unlink(missing_ok=True)
        self.ratings.save(folder)
        models = {name: model for name in MODELS if (model := getattr(self, name)) is not None}
        for name, model in models.items():
            training.save(model, folder / MODELS[name])
        files.write_arrays(folder / KNOWN, self.known.arrays())
        table = pd.DataFrame(self._shown).astype(object)
        shown = table.where(table.notna(), None).to_dict("list")
        facts = {"models": list(models), "settings": self.settings, "items": shown, "users": self.known.users.values}
        files.write_json(folder / RECOMMENDER, facts)
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote, on any backend.

        Args:
            folder: A folder of `save`, such as that of a run.

        Returns:
            A recommender of the same recommendations.

        Raises:
            ConfigurationError: If the folder holds no recommender.
            DataError: If a file is missing or damaged.
        """
        folder, path = Path(folder), Path(folder) / RECOMMENDER
        if not path.is_file():
            raise ConfigurationError(f"{folder} holds no recommender: there is no {RECOMMENDER} in it")
        facts, ratings = files.read_json(path), Ratings.load(folder)
        try:
            users = Vocabulary(tuple(facts["users"]))
            items = pd.DataFrame({"item_id": vocabulary(ratings, "item_id").values, **facts["items"]})
            models = {name: MODELS[name] for name in facts["models"]}
            settings = {name: float(value) for name, value in facts["settings"].items()}
        except files.DAMAGE as error:
            raise DataError(f"not a recommender ({error})", file=path) from error
        arrays = files.read_arrays(folder / KNOWN)
        try:
            known = Known.of_arrays(users, arrays, ratings)
        except files.DAMAGE as error:
            raise DataError(f"not what is known of these users ({error})", file=folder / KNOWN) from error
        loaded = {name: load_model(folder / file) for name, file in models.items()}
        return cls(ratings, **loaded, known=known, items=items, settings=settings)

    @cached_property
    def _alike(self) -> Ranker:
        """What has the vectors: the ranker, or the model of ratings."""
        return self._ranker or open_ranker(self.model, self.ratings)

    @cached_property
    def _user_vectors(self) -> Any:
        return self._alike.vectors(self._who(np.arange(self.known.users.size)))

    @cached_property
    def _numbers(self) -> dict[Any, int]:
        """Raw id -> id."""
        return {each: i for i, each in enumerate(self._catalogue.values, start=1)}

    @cached_property
    def _titles(self) -> dict[str, list[int]]:
        """Title -> ids of the items that have it."""
        titles: dict[str, list[int]] = {}
        for i, title in enumerate(self._shown.get("title", ()), start=1):
            titles.setdefault(title, []).append(i)
        return titles

    def _user_ids(self, users: Any) -> npt.NDArray[np.int32]:
        """Rows of `known` of raw ids."""
        values = _listed(users)
        ids = self.known.users.transform(values)
        if unknown := [each for each, i in zip(values, ids, strict=True) if i == 0]:
            raise DataError("the user is unknown", received=unknown[0])
        return ids

    def _item_ids(self, items: Any) -> npt.NDArray[np.int64]:
        """Ids of raw ids or titles."""
        ids = []
        for each in _listed(items):
            found = [self._numbers[each]] if each in self._numbers else self._titles.get(each, [])
            if len(found) != 1:
                what = "several items have the title, name one by its id" if found else "the item is unknown"
                expected = ", ".join(map(str, self._items[np.array(found) - 1])) if found else None
                raise DataError(what, expected=expected, received=each)
            ids += found
        return np.array(ids, np.int64)

    def _trained(self, users: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Ids of the training's vocabulary, 0 for users without training rows."""
        return vocabulary(self.ratings, "user_id").transform(users)

    def _who(self, ids: npt.NDArray[np.integer]) -> People:
        """Known users as rankers take them."""
        table = self.known.ratings[ids]
        users = self._people[ids - 1] if ids.all() else self.known.users.inverse(ids)
        return People(users, table, lambda: self._weights(table))

    def _weights(self, table: sparse.csr_array) -> sparse.csr_array:
        later = np.repeat(table.indptr[1:], np.diff(table.indptr)) - 1 - np.arange(table.nnz)
        weights = self.ratings.weights(table.data, later, **self.settings)
        return sparse.csr_array((weights, table.indices, table.indptr), shape=table.shape)

    def _columns(self, ids: npt.NDArray[np.integer]) -> dict[str, Any]:
        """What is shown of some items."""
        return {name: values.take(ids - 1) for name, values in self._shown.items()}

    def _recommended(
        self,
        name: str,
        asked: npt.NDArray[Any],
        people: People,
        k: int,
        exclude_seen: bool,
        candidates: Iterable[Any] | None,
    ) -> pd.DataFrame:
        if self._ranker is None:
            raise ConfigurationError("there is no ranker: only a model of ratings")
        if not 1 <= k <= len(self._items):
            raise ConfigurationError(f"k must be from 1 to {len(self._items)}, the items there are. Received: k={k}")
        if not self._ranker.newcomers and (strange := np.flatnonzero(self._trained(people.users) == 0)).size:
            what = "the ranker knows users by their ids alone, and this one has no training rows"
            raise DataError(what, received=people.users[strange[0]])
        some = None if candidates is None else self._item_ids(candidates)
        seen = people.ratings if exclude_seen else None
        row, rank, ids, found = find(self._ranker, people, k, self._preference, seen=seen, candidates=some)
        content = {name: asked[row], "rank": rank, "item_id": self._items[ids - 1], "score": found}
        return pd.DataFrame(content | self._columns(ids))


def _listed(values: Any) -> list[Any]:
    """The values that are asked for: one, or several."""
    return [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
