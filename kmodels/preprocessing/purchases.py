"""Purchases as arrays: encoded ids and columns, standardised amounts, spend groups.

Baselines take the table as it is: ``table.drop(columns="amount")``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import DataError
from kmodels.features import Categorical
from kmodels.preprocessing.encoders import Encoder, Standardizer, Vocabulary

#: The spend groups, in order: below 5,000; from 5,000 to below 10,000; from 10,000 to 15,000; above 15,000.
SPEND_GROUPS = ("< 5,000", "5,000–10,000", "10,000–15,000", "> 15,000")

#: The label that stands for a missing value: in columns of text, and in columns of whole numbers.
MISSING_TEXT, MISSING_NUMBER = "missing", -(2**31)

_IDS = ("user_id", "product_id")


@dataclass(frozen=True, eq=False)
class EncodedPurchases:
    """Purchases as inputs of a model and as its target.

    Attributes:
        inputs: Name of a column -> int32 (rows,): `user_id` and `product_id`, 0 where they have no training row, and
            the other columns of labels, 0 where the label has none. A missing value is a label like any other.
        amount: float32 (rows, 1), standardised by the training rows; `in_currency` turns it back.
        ids: The inputs `user_id` and `product_id` as features.
        features: The other inputs as features, in the order of the table.
        encoders: Name -> fitted encoder, for `save_encoders`: a vocabulary for each input, and `amount`.
    """

    inputs: Mapping[str, npt.NDArray[np.int32]]
    amount: npt.NDArray[np.float32]
    ids: tuple[Categorical, ...]
    features: tuple[Categorical, ...]
    encoders: Mapping[str, Encoder]

    @property
    def unseen(self) -> npt.NDArray[np.bool_]:
        """Where the user or the product has no training row, bool (rows,)."""
        return (self.inputs["user_id"] == 0) | (self.inputs["product_id"] == 0)


def encode_purchases(table: pd.DataFrame, train: npt.NDArray[np.int64]) -> EncodedPurchases:
    """Fits the encoders on the training rows and encodes all rows.

    Args:
        table: As `datasets.purchases` makes it: categoricals `user_id`, `product_id` and any others, and `amount`.
        train: Positions of the training rows.

    Returns:
        The arrays and the encoders.

    Raises:
        DataError: If there is no training row, an id is missing, or an amount is missing or infinite.

    Example:
        >>> table = pd.DataFrame({"user_id": [7, 9, 9], "product_id": ["b", "a", "c"], "city": ["A", None, "B"]})
        >>> table = table.astype("category").assign(amount=[10.0, 30.0, 50.0])
        >>> encoded = encode_purchases(table, np.array([0, 1]))
        >>> encoded.inputs["product_id"].tolist(), encoded.inputs["city"].tolist(), encoded.amount[:, 0].tolist()
        ([2, 1, 0], [1, 2, 0], [-1.0, 1.0, 3.0])
        >>> encoded.features
        (Categorical(name='city', size=3),)
    """
    if not len(train):
        raise DataError("there is no training row")
    vocabularies = {str(name): _fit(table[name], train) for name in table if name != "amount"}
    amounts = table[["amount"]].to_numpy(np.float64)
    scaler = Standardizer.fit(amounts[train])
    features = tuple(Categorical(name, vocabulary.size) for name, vocabulary in vocabularies.items())
    return EncodedPurchases(
        inputs=encode_inputs(table, vocabularies),
        amount=scaler.transform(amounts),
        ids=tuple(feature for feature in features if feature.name in _IDS),
        features=tuple(feature for feature in features if feature.name not in _IDS),
        encoders={**vocabularies, "amount": scaler},
    )


def encode_inputs(table: pd.DataFrame, encoders: Mapping[str, Encoder]) -> dict[str, npt.NDArray[np.int32]]:
    """Encodes purchases, whose amounts need not be known, with encoders that were fitted before.

    Labels are compared as text, so that 7 is "7" where one table has numbers alone and another has words among them.

    Args:
        table: As for `encode_purchases`, with a column for each vocabulary.
        encoders: `encoders` of `EncodedPurchases`, or what `load_encoders` read.

    Returns:
        Name of a column -> int32 (rows,), 0 where the label is unknown.

    Raises:
        DataError: If a column is missing, or an id.

    Example:
        >>> table = pd.DataFrame({"city": ["B", "A"]}, dtype="category")
        >>> encode_inputs(table, {"city": Vocabulary(("A", "C"))})["city"].tolist()
        [0, 1]
    """
    inputs = {}
    for name, encoder in encoders.items():
        if not isinstance(encoder, Vocabulary):
            continue
        if name not in table:
            raise DataError("the column is missing", column=name, received=", ".join(map(str, table)))
        codes, labels = _labels(table[name])
        place = {str(value): number for number, value in enumerate(encoder.values, start=1)}
        mark = MISSING_TEXT if isinstance(encoder.values[0], str) else MISSING_NUMBER
        # The last one is what code -1, a missing value, reads.
        ids = [place.get(str(label), 0) for label in (*labels, mark)]
        inputs[name] = np.array(ids, dtype=np.int32)[codes]
    return inputs


def _fit(column: pd.Series, train: npt.NDArray[np.int64]) -> Vocabulary:
    codes, labels = _labels(column)
    seen = np.unique(codes[train])
    values = [labels[code] for code in seen[seen >= 0]]
    if seen[0] < 0:
        numbers = bool(values) and not isinstance(values[0], str)
        values.append(MISSING_NUMBER if numbers else MISSING_TEXT)
    return Vocabulary.fit(values)


def _labels(column: pd.Series) -> tuple[npt.NDArray[np.signedinteger], list[int | str]]:
    """Codes of the rows, -1 where missing, and the labels they stand for."""
    values = pd.Categorical(column)
    missing = values.codes < 0
    if column.name in _IDS and missing.any():
        raise DataError("an id is missing", row=int(np.argmax(missing)) + 1, column=str(column.name))
    labels = values.categories.tolist()
    # Beside missing values, pandas stores whole numbers as floats.
    return values.codes, [int(label) if isinstance(label, float) and label.is_integer() else label for label in labels]


def in_currency(standardised: npt.ArrayLike, scaler: Standardizer) -> npt.NDArray[np.float64]:
    """Turns standardised amounts, such as a model's predictions, back into amounts.

    Args:
        standardised: Any shape.
        scaler: The encoder `amount`.

    Returns:
        float64 of the same shape, in the table's unit of currency.

    Example:
        >>> in_currency([[-1.0], [3.0]], Standardizer(mean=(20.0,), scale=(10.0,))).tolist()
        [[10.0], [50.0]]
    """
    return np.asarray(standardised, np.float64) * scaler.scale[0] + scaler.mean[0]


def spend_groups(amount: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Sorts amounts into the four groups of `SPEND_GROUPS`.

    5,000 belongs to the second group, 10,000 and 15,000 to the third.

    Args:
        amount: Amounts in currency, shape (rows,).

    Returns:
        int32 (rows,), 0 to 3.

    Raises:
        DataError: If an amount is missing.

    Example:
        >>> spend_groups([4999.99, 5000, 9999, 10000, 15000, 15000.01]).tolist()
        [0, 1, 1, 2, 2, 3]
    """
    amounts = np.asarray(amount, np.float64)
    if np.isnan(amounts).any():
        raise DataError("an amount is missing", row=int(np.argmax(np.isnan(amounts))) + 1, column="amount")
    return ((amounts >= 5000).astype(np.int32) + (amounts >= 10_000) + (amounts > 15_000)).astype(np.int32)
