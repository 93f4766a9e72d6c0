"""A recommender's three tables as arrays: ids and side features, encoded by what the training rows show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import DataError
from kmodels.features import Categorical, MultiHot
from kmodels.preprocessing.encoders import Encoder, MultiHotVocabulary, Standardizer, Vocabulary

# The age bands of MovieLens-1M, by the first age of each; exact ages of other releases fall into the same ones.
AGE_BANDS = (1, 18, 25, 35, 45, 50, 56)


@dataclass(frozen=True)
class EncodedRatings:
    """Ratings as model inputs; what belongs to a user or an item is held once, in a table beside them.

    Attributes:
        user_id: int32 (ratings,), from 1; 0 where the user has no training row.
        item_id: int32 (ratings,), from 1; 0 where the item has no training row.
        user_row: int64 (ratings,), row of `user_table`, also of users without training rows.
        item_row: int64 (ratings,), row of `item_table`.
        user_table: Name of an input -> array of shape (users, ...): `gender`, `age` and `occupation`, float32
            (users, 1), and `gender_id`, `age_band` and `occupation_id`, int32 (users,), as far as the data has them.
        item_table: `genres`, float32 (items, genres), and `decade`, int32 (items,).
        encoders: Name -> fitted encoder, for `save_encoders`.
        n_users: Rows of a table of users by `user_id`, row 0 included.
        n_items: Rows of a table of items by `item_id`, row 0 included.
    """

    user_id: npt.NDArray[np.int32]
    item_id: npt.NDArray[np.int32]
    user_row: npt.NDArray[np.int64]
    item_row: npt.NDArray[np.int64]
    user_table: Mapping[str, np.ndarray]
    item_table: Mapping[str, np.ndarray]
    encoders: Mapping[str, Encoder]
    n_users: int
    n_items: int

    @property
    def user_features(self) -> list[Categorical]:
        """The categories of a user, as far as the data has them: gender, age band and occupation."""
        known = [name for name in ("gender_id", "age_band", "occupation_id") if name in self.user_table]
        return [self._category(name) for name in known]

    @property
    def item_features(self) -> list[MultiHot | Categorical]:
        """Genres and decade of an item."""
        return [MultiHot("genres", self.item_table["genres"].shape[1]), self._category("decade")]

    def _category(self, name: str) -> Categorical:
        vocabulary = self.encoders[name]
        assert isinstance(vocabulary, Vocabulary)
        return Categorical(name, vocabulary.size)


def encode_ratings(
    ratings: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame, train: npt.NDArray[np.int64]
) -> EncodedRatings:
    """Fits the encoders on the training rows and encodes all rows.

    Args:
        ratings: Columns user_id and item_id, integers.
        users: Column user_id, one row per user; gender, age and occupation where known.
        items: Columns item_id, genres (joined by "|") and year (nullable), one row per item.
        train: Positions of the training rows in `ratings`.

    Returns:
        The arrays, and the encoders `user_id`, `item_id`, `genres`, `decade` and, where known, `gender_id`,
        `occupation_id`, `age_band` and `profile` (the standardised numbers behind gender, age and occupation).

    Raises:
        DataError: If a rating's user or item is missing in its table, or there is no training row.

    Example:
        >>> ratings = pd.DataFrame({"user_id": [7, 7, 9], "item_id": [1, 2, 2]})
        >>> items = pd.DataFrame({"item_id": [1, 2], "genres": ["Drama|War", "War"], "year": [1994, None]})
        >>> encoded = encode_ratings(ratings, pd.DataFrame({"user_id": [7, 9]}), items, np.array([0, 1]))
        >>> encoded.user_id.tolist(), encoded.item_table["genres"].tolist()
        ([1, 1, 0], [[1.0, 1.0], [0.0, 1.0]])
    """
    if not len(train):
        raise DataError("there is no training row")
    seen = ratings.iloc[train]
    encoders: dict[str, Encoder] = {
        "user_id": (user_vocabulary := Vocabulary.fit(seen["user_id"])),
        "item_id": (item_vocabulary := Vocabulary.fit(seen["item_id"])),
    }
    seen_users = users[users["user_id"].isin(user_vocabulary.values)]
    seen_items = items[items["item_id"].isin(item_vocabulary.values)]
    return EncodedRatings(
        user_id=user_vocabulary.transform(ratings["user_id"]),
        item_id=item_vocabulary.transform(ratings["item_id"]),
        user_row=_positions(ratings["user_id"], users["user_id"]),
        item_row=_positions(ratings["item_id"], items["item_id"]),
        user_table=_encode_users(users, seen_users, encoders),
        item_table=_encode_items(items, seen_items, encoders),
        encoders=encoders,
        n_users=user_vocabulary.size,
        n_items=item_vocabulary.size,
    )


def _encode_users(users: pd.DataFrame, seen: pd.DataFrame, encoders: dict[str, Encoder]) -> dict[str, np.ndarray]:
    if "gender" not in users:
        return {}
    categories = {
        "gender_id": (users["gender"], seen["gender"]),
        "age_band": (_age_band(users["age"]), _age_band(seen["age"])),
        "occupation_id": (users["occupation"], seen["occupation"]),
    }
    table: dict[str, np.ndarray] = {}
    for name, (every, fitted) in categories.items():
        vocabulary = encoders[name] = Vocabulary.fit(fitted)
        table[name] = vocabulary.transform(every)
    profile = np.column_stack([users["gender"] == "M", users["age"], table["occupation_id"]]).astype(np.float64)
    scaler = encoders["profile"] = Standardizer.fit(profile[users["user_id"].isin(seen["user_id"])])
    scaled = scaler.transform(profile)
    return table | {name: scaled[:, [i]] for i, name in enumerate(("gender", "age", "occupation"))}


def _encode_items(items: pd.DataFrame, seen: pd.DataFrame, encoders: dict[str, Encoder]) -> dict[str, np.ndarray]:
    genres = encoders["genres"] = MultiHotVocabulary.fit(_split(seen["genres"]))
    known = set(genres.labels)
    decade = encoders["decade"] = Vocabulary.fit(_decade(seen["year"]))
    return {
        "genres": genres.transform([[label for label in row if label in known] for row in _split(items["genres"])]),
        "decade": decade.transform(_decade(items["year"])),
    }


def _split(genres: pd.Series) -> list[list[str]]:
    return [text.split("|") if text else [] for text in genres]


def _decade(years: pd.Series) -> pd.Series:
    # A film without a year is a kind of its own.
    return (pd.to_numeric(years).astype("Float64") // 10 * 10).fillna(0).astype("int64")


def _age_band(ages: pd.Series) -> pd.Series:
    return pd.Series(np.array(AGE_BANDS)[np.searchsorted(AGE_BANDS, ages, side="right") - 1], index=ages.index)


def _positions(ids: pd.Series, table: pd.Series) -> npt.NDArray[np.int64]:
    positions = pd.Index(table).get_indexer(pd.Index(ids))
    if (positions < 0).any():
        row = int(np.argmax(positions < 0))
        raise DataError("not in its table", row=row + 1, column=str(ids.name), received=ids.iloc[row].item())
    return positions.astype(np.int64)
