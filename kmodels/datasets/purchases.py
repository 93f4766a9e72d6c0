"""Purchases: who bought what and what was paid, as in the "Black Friday" table, or in a table of your own.

`user`, `product` and `amount` are required, every other column of `COLUMNS` is optional. A table of your own keeps its
names: ``columns={"user": "customer", "product": "SKU", "amount": "Total"}`` says which of its columns is which. Ages in
years must be put into bands first, for which `pandas.cut` will do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels.datasets.columns import WHOLE, NumberColumn, match_columns
from kmodels.datasets.download import resolve
from kmodels.datasets.readers import open_table
from kmodels.datasets.sources import find_table, sha256, split_name
from kmodels.datasets.tables import Table, filled

__all__ = ["load"]

#: Name here -> name in the Black Friday table.
COLUMNS: dict[str, str] = {
    "user": "User_ID",
    "product": "Product_ID",
    "gender": "Gender",
    "age": "Age",
    "occupation": "Occupation",
    "city": "City_Category",
    "stay_years": "Stay_In_Current_City_Years",
    "married": "Marital_Status",
    "category_1": "Product_Category_1",
    "category_2": "Product_Category_2",
    "category_3": "Product_Category_3",
    "amount": "Purchase",
}
#: The bands of `age`, in order; "55+" begins above 55.
AGE_BANDS = ("0-17", "18-25", "26-35", "36-45", "46-50", "51-55", "55+")
#: The values of `stay_years`, in order.
STAY_YEARS = ("0", "1", "2", "3", "4+")

_IDS = ("user", "product")
_REQUIRED = (*_IDS, "amount")
_FIXED = {"age": AGE_BANDS, "stay_years": STAY_YEARS}
_LOOKED_FOR = {name: [column] for name, column in COLUMNS.items()}
_MISSING = frozenset({"", "NA", "NaN", "nan", "NULL", "null", "None"})
_SAMPLE = "purchases-sample/purchases.csv"
_WHOLE_AS_FLOAT = re.compile(r"(-?[0-9]+)\.0+")


@dataclass(frozen=True, eq=False)
class Purchases:
    """Purchases in the order of the file.

    Attributes:
        name: ``"sample"``, or the file's name without its ending.
        path: The file.
        sha256: Hexadecimal digest of the file's bytes.
        table: One row per purchase: `user_id`, `product_id`, what the file has of `COLUMNS`, and `amount` (float64, 0
            or more). All but the amount are pandas categoricals; their categories are whole numbers where all of the
            column's are, else text, ascending. `age` and `stay_years` are ordered and always have `AGE_BANDS` and
            `STAY_YEARS`. A missing value is NaN, never in the ids.
    """

    name: str
    path: Path
    sha256: str
    table: pd.DataFrame


def load(source: str | Path, *, columns: Mapping[str, str] | None = None) -> Purchases:
    r"""Loads a purchase table: CSV, JSON or Parquet.

    Missing values are empty fields and the texts NA, NaN, NULL and None. Whole numbers that were stored as 8.0 are read
    as 8, save in the two ids, which are kept as written. Space around a field does not
    count. Columns that are not asked for are not read.

    Args:
        source: ``"sample"``, the synthetic sample; or the path of a file, or of a folder with
            one table called purchases or train, or one table alone. Parquet (.parquet, .pq) needs pyarrow.
        columns: Name of `COLUMNS` -> the table's own name for it; names not given are looked for under the Black
            Friday table's names, with None, the default, all of them.

    Returns:
        The purchases.

    Raises:
        ConfigurationError: If `source` is neither ``"sample"`` nor an existing path, `columns` has an unknown name or
            maps a column twice, or pyarrow is missing.
        DataError: If the file or a column is missing, or a row is wrong: the message names the file, the line (in
            Parquet the row), the column and what was received.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "till.csv"
        ...     _ = file.write_text("SKU,customer,Total,Age\nA7,12,9.50,18-25\nB1,3,20,\n")
        ...     data = load(file, columns={"product": "SKU", "user": "customer", "amount": "Total"})
        >>> data.table
          user_id product_id    age  amount
        0      12         A7  18-25     9.5
        1       3         B1    NaN    20.0
    """
    # Kaggle's archive has a test.csv too, without amounts.
    file = find_table(resolve(source, _SAMPLE), "purchases", "train")
    table = open_table(file)
    found = match_columns(table.names, columns or {}, _LOOKED_FOR, _REQUIRED, file)
    amount = NumberColumn(found.pop("amount"), low=0, expected="a number from 0")
    whole = table.read(list(found.values()), [amount])
    content = pd.DataFrame(_labels(found, whole)).assign(amount=whole.frame[amount.name].to_numpy())
    name = "sample" if source == "sample" else split_name(file)[0]
    return Purchases(name=name, path=file, sha256=sha256(file), table=content)


def rows(file: str | Path, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Reads purchases to predict, as `load` has them in `table`, but for the amount; a missing id is NaN."""
    opened = open_table(Path(file))
    chosen = {ours: theirs for ours, theirs in (columns or {}).items() if ours != "amount"}
    looked_for = {name: known for name, known in _LOOKED_FOR.items() if name != "amount"}
    found = match_columns(opened.names, chosen, looked_for, (), Path(file))
    return pd.DataFrame(_labels(found, opened.read(list(found.values())), with_gaps=True))


def summary(data: Purchases) -> dict[str, Any]:
    """The counts of a report: rows, users, products, columns, sha256, the spread of amounts, and missing values."""
    table, amount = data.table, data.table["amount"].to_numpy()
    missing = table.isna().sum()
    return {
        "rows": len(table),
        "users": len(table["user_id"].cat.categories),
        "products": len(table["product_id"].cat.categories),
        "columns": list(table),
        "sha256": data.sha256,
        "amount": {name: float(getattr(np, name)(amount)) for name in ("mean", "std", "min", "median", "max")},
        "missing": {str(name): int(count) for name, count in missing.items() if count},
    }


def _labels(found: Mapping[str, str], table: Table, *, with_gaps: bool = False) -> dict[str, pd.Categorical[Any]]:
    """The columns of labels by their names here; ids may be missing if so."""
    return {
        f"{name}_id" if name in _IDS else name: _categorical(name, column, table, with_gaps)
        for name, column in found.items()
    }


def _categorical(name: str, column: str, table: Table, with_gaps: bool) -> pd.Categorical[Any]:
    """A column of labels, checked: without space around them, 8.0 as 8 save in ids."""
    fixed = _FIXED.get(name)

    def read(text: str) -> str | None:
        text = text.strip()
        if text in _MISSING:
            return filled("") if name in _IDS and not with_gaps else None
        if fixed and text not in fixed:
            raise ValueError(f"unknown {name} band")
        whole = None if name in _IDS else _WHOLE_AS_FLOAT.fullmatch(text)
        return whole[1] if whole else text

    expected = f"one of {', '.join(fixed)}" if fixed else "a number or a text"
    labels, codes = table.distinct(column, read, expected)
    distinct = set(labels) - {None}
    are_whole = not fixed and all(map(WHOLE.fullmatch, distinct))
    ordered: Sequence[Any] = fixed or sorted(map(int, distinct) if are_whole else distinct)
    place = {str(label): code for code, label in enumerate(ordered)}
    places = np.array([place.get(label, -1) for label in labels], np.min_scalar_type(-len(ordered) - 1))
    categories = pd.Index(ordered, dtype=None if fixed else np.int64 if are_whole else object)
    return pd.Categorical.from_codes(places[codes], categories=categories, ordered=bool(fixed))
