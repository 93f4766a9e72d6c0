"""Purchases: who bought what and what was paid, as in the "Black Friday" table, or in a table of your own.

A purchase table has one row per purchase. Three columns are required, the rest is optional:

| name here | column of the Black Friday table | what it holds |
|---|---|---|
| `user` | `User_ID` | required; numbers or text |
| `product` | `Product_ID` | required; numbers or text |
| `amount` | `Purchase` | required; 0 or more, in your own unit of currency |
| `gender` | `Gender` | any labels |
| `age` | `Age` | one of `AGE_BANDS` |
| `occupation` | `Occupation` | any labels |
| `city` | `City_Category` | any labels |
| `stay_years` | `Stay_In_Current_City_Years` | one of `STAY_YEARS` |
| `married` | `Marital_Status` | any labels |
| `category_1`, `category_2`, `category_3` | `Product_Category_1`, … | any labels |

A table of your own keeps its names: ``columns={"user": "customer", "product": "SKU", "amount": "Total"}`` says which of
its columns is which, and `datasets.tables.parse_columns` reads that from a command line. An optional column that the
table does not have is absent, and so is its input later. Ages in years must be put into bands first, for which
`pandas.cut` will do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.download import resolve
from kmodels.datasets.tables import Chunk, NumberColumn, match_columns, open_table
from kmodels.errors import DataError

__all__ = ["AGE_BANDS", "COLUMNS", "STAY_YEARS", "Purchases", "load", "read", "summary"]

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

_REQUIRED = ("user", "product", "amount")
_FIXED = {"age": AGE_BANDS, "stay_years": STAY_YEARS}
_MISSING = frozenset({"", "NA", "NaN", "nan", "NULL", "null", "None"})
_SAMPLE = Path(__file__).resolve().parents[2] / "data" / "purchases-sample" / "purchases.csv"
# Files that a folder is searched for; Kaggle's archive has train.csv, and a test.csv without amounts.
_FILES = ("purchases.csv", "purchases.parquet", "train.csv")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_WHOLE_AS_FLOAT = re.compile(r"(-?[0-9]+)\.0+")


@dataclass(frozen=True, eq=False)
class Purchases:
    """Purchases in the order of the file.

    Args:
        name: ``"sample"``, or the file's name without its ending.
        path: The file.
        sha256: Hexadecimal digest of the file's bytes.
        table: One row per purchase. `user_id`, `product_id` and, as far as the file has them, `gender`, `age`,
            `occupation`, `city`, `stay_years`, `married`, `category_1`, `category_2`, `category_3` are pandas
            categoricals, so that a column costs one to four bytes a row; their categories are whole numbers where all
            of the column's are, else text, ascending. `age` and `stay_years` are ordered and have the categories
            `AGE_BANDS` and `STAY_YEARS` always. A missing value is NaN, never in `user_id` and `product_id`. `amount`
            is float64, 0 or more.
    """

    name: str
    path: Path
    sha256: str
    table: pd.DataFrame


def load(source: str | Path, *, columns: Mapping[str, str] | None = None) -> Purchases:
    """Loads purchases by name or path.

    Args:
        source: ``"sample"``, the synthetic sample in a checkout of kmodels; else a path as for `read`.
        columns: As for `read`. Default None.

    Returns:
        The purchases.

    Raises:
        ConfigurationError: If `source` is neither ``"sample"`` nor an existing path, or `columns` is wrong.
        DataError: If the sample is not there or the data is wrong.

    Example:
        >>> load("sample").table["amount"].size
        30000
    """
    path = resolve(source, _SAMPLE)
    assert path is not None  # there are no other names
    data = read(path, columns=columns)
    return replace(data, name="sample") if source == "sample" else data


def read(path: str | Path, *, columns: Mapping[str, str] | None = None) -> Purchases:
    r"""Reads a purchase table, CSV or Parquet, in chunks of bounded memory.

    CSV is UTF-8 with commas and a header line; fields may stand in double quotes. Missing values are empty fields and
    the texts NA, NaN, NULL and None. Whole numbers that were stored as 8.0 are read as 8, save in the two ids, which
    are kept as written. Space around a field does not count. Columns that are not asked for are not read.

    Args:
        path: The file, or a folder with one of purchases.csv, purchases.parquet and train.csv. Parquet, which ends in
            .parquet or .pq, needs pyarrow.
        columns: Name of `COLUMNS` -> the table's own name for it; names not given are looked for under the Black
            Friday table's names, with None, the default, all of them.

    Returns:
        The purchases; `name` is the file's name without its ending.

    Raises:
        ConfigurationError: If `columns` has an unknown name or maps a column twice, or pyarrow is missing.
        DataError: If the file is missing or empty, a required or mapped column is not in it, a line has too few or
            too many fields, an id is missing, an amount is missing, negative, infinite or no number, or a band of age
            or years is unknown. The message names the file, the line (in Parquet the row), the column and what was
            received.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "till.csv"
        ...     _ = file.write_text("SKU,customer,Total,Age\nA7,12,9.50,18-25\nB1,3,20,\n")
        ...     data = read(file, columns={"product": "SKU", "user": "customer", "amount": "Total"})
        >>> data.table
          user_id product_id    age  amount
        0      12         A7  18-25     9.5
        1       3         B1    NaN    20.0
    """
    file = _find(Path(path))
    table = open_table(file)
    looked_for = {name: [column] for name, column in COLUMNS.items()}
    found = match_columns(table.names, columns or {}, looked_for, _REQUIRED, file)
    digest = hashlib.sha256()
    collectors = {name: _Labels(name, found[name], file) for name in found if name != "amount"}
    amount = NumberColumn(found["amount"], low=0, expected="a number from 0")
    amounts: list[npt.NDArray[np.float64]] = []
    for chunk in table.chunks([found[name] for name in collectors], [amount], digest):
        for collector in collectors.values():
            collector.add(chunk)
        amounts.append(chunk.numbers[amount.name])
    content: dict[str, Any] = {
        f"{name}_id" if name in ("user", "product") else name: collector.finish()
        for name, collector in collectors.items()
    }
    content["amount"] = np.concatenate(amounts)
    return Purchases(name=file.stem, path=file, sha256=digest.hexdigest(), table=pd.DataFrame(content))


def summary(data: Purchases) -> dict[str, Any]:
    """The counts of a report: rows, users, products, columns, sha256, the spread of amounts, and missing values."""
    table, amount = data.table, data.table["amount"]
    missing = table.isna().sum()
    return {
        "rows": len(table),
        "users": len(table["user_id"].cat.categories),
        "products": len(table["product_id"].cat.categories),
        "columns": list(table),
        "sha256": data.sha256,
        "amount": {
            "mean": float(amount.mean()),
            "std": float(amount.std(ddof=0)),
            "min": float(amount.min()),
            "median": float(amount.median()),
            "max": float(amount.max()),
        },
        "missing": {str(name): int(count) for name, count in missing.items() if count},
    }


def _find(path: Path) -> Path:
    """The file that a path means."""
    if not path.is_dir():
        return path
    found = [path / name for name in _FILES if (path / name).is_file()]
    if len(found) == 1:
        return found[0]
    raise DataError(
        "several purchase tables here" if found else "no purchase table here",
        file=path,
        expected=f"one of {', '.join(_FILES)}, or the path of a file",
        received=", ".join(sorted(entry.name for entry in path.iterdir())[:8]),
    )


@dataclass
class _Labels:
    """Collects one column of labels chunk by chunk, as codes."""

    name: str
    column: str
    file: Path
    codes: list[npt.NDArray[np.integer[Any]]] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known |= {label: code for code, label in enumerate(_FIXED.get(self.name, ()))}

    def add(self, chunk: Chunk) -> None:
        """Takes the column's part of a chunk."""
        texts, codes = chunk.labels[self.column]
        lookup = np.array([*(self._code(text) for text in texts), -1], dtype=np.int32)
        wrong = lookup == -2
        if self.name in ("user", "product"):
            wrong |= lookup == -1
        if wrong[codes].any():
            row = int(np.argmax(wrong[codes]))
            text = texts[codes[row]] if codes[row] >= 0 else ""
            fixed = _FIXED.get(self.name)
            raise DataError(
                f"unknown {self.name} band" if fixed else "the id is missing",
                file=self.file,
                row=chunk.line(row),
                column=self.column,
                expected=f"one of {', '.join(fixed)}" if fixed else "a number or a text",
                received=text,
            )
        self.codes.append(lookup.astype(_smallest(len(self.known)))[codes])

    def _code(self, text: str) -> int:
        """Code of a label, a new one where it is new; -1 for a missing value, -2 for one that may not be."""
        text = text.strip()
        if text in _MISSING:
            return -1
        if self.name not in ("user", "product") and (whole := _WHOLE_AS_FLOAT.fullmatch(text)):
            text = whole[1]
        if self.name in _FIXED:
            return self.known.get(text, -2)
        return self.known.setdefault(text, len(self.known))

    def finish(self) -> pd.Categorical[Any]:
        """The whole column."""
        codes = np.concatenate(self.codes)
        if self.name in _FIXED:
            return pd.Categorical.from_codes(codes, categories=pd.Index(_FIXED[self.name]), ordered=True)
        convert: Callable[[str], int | str] = int if all(map(_WHOLE.fullmatch, self.known)) else str
        labels = [convert(label) for label in self.known]
        order = sorted(range(len(labels)), key=labels.__getitem__)
        place = np.full(len(labels) + 1, -1, _smallest(len(labels)))
        place[order] = np.arange(len(labels))
        categories = pd.Index([labels[code] for code in order], dtype=np.int64 if convert is int else object)
        return pd.Categorical.from_codes(place[codes], categories=categories)


def _smallest(size: int) -> type[np.signedinteger[Any]]:
    """The smallest dtype for codes from -1 to `size`."""
    return np.int8 if size < 2**7 else np.int16 if size < 2**15 else np.int32
