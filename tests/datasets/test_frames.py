"""Any table: the types of its columns, whatever the file, and what is refused."""

import gzip

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import frames
from kmodels.errors import DataError

TEXT = """id,price,zip,sold,when,note,"a, b",empty
1,2.50,01234,2024-05-31,2024-05-31T10:00:00,"x, y",yes,
2,,90210,NA,2023-01-01T00:00:00,?,no,
3,1e3,00501,2020-02-29,2022-12-31T23:59:59, z ,yes,
"""


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text(TEXT)
    return file


def test_columns_have_the_type_of_all_their_texts(table):
    found = frames.load(table)
    rows = found.table
    assert found.name == "sales"
    assert list(rows) == ["id", "price", "zip", "sold", "when", "note", "a, b", "empty"]
    assert rows["id"].dtype == np.int64
    assert rows["price"].tolist()[::2] == [2.5, 1000.0]
    assert np.isnan(rows["price"][1])
    assert rows["zip"].tolist() == ["01234", "90210", "00501"]
    assert rows["sold"].dt.strftime("%d.%m.%Y").tolist()[::2] == ["31.05.2024", "29.02.2020"]
    assert pd.isna(rows["sold"][1])
    assert rows["when"].dt.hour.tolist() == [10, 0, 23]
    assert rows["note"].tolist()[::2] == ["x, y", "z"]
    assert rows["note"].isna().tolist() == [False, True, False]
    assert rows["a, b"].tolist() == ["yes", "no", "yes"]
    assert rows["empty"].isna().all()


def test_every_format_gives_the_same_rows(table, tmp_path):
    expected = frames.load(table).table.drop(columns="empty")
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    pd.testing.assert_frame_equal(frames.load(packed).table.drop(columns="empty"), expected)
    pytest.importorskip("pyarrow")
    expected.to_parquet(tmp_path / "t.parquet")
    again = frames.load(tmp_path / "t.parquet").table
    for name in expected:
        assert again[name].isna().equals(expected[name].isna()), name
        assert again[name].dropna().tolist() == expected[name].dropna().tolist(), name


def test_columns_to_be_kept_as_text_are(table):
    rows = frames.typed(frames.read(table), text=["id", "price"])
    assert rows["id"].tolist() == ["1", "2", "3"]
    assert rows["price"].tolist()[::2] == ["2.50", "1e3"]
    assert rows["sold"].dtype.kind == "M"


def test_the_file_is_read_as_it_is(table):
    raw = frames.read(table)
    assert raw["price"].tolist() == ["2.50", "", "1e3"]
    assert raw["note"].tolist() == ["x, y", "?", " z "]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["1", "2x"], ["1", "2x"]),
        (["2024-05-31", "2024-13-01"], ["2024-05-31", "2024-13-01"]),  # one of them is no date
        (["1", "-inf"], [1.0, -np.inf]),
        (["0", "-0.5"], [0.0, -0.5]),
        (["0", "7"], [0, 7]),
        (["-07", "7"], ["-07", "7"]),
        (["12345678901234567890", "1"], [12345678901234567890.0, 1.0]),
    ],
)
def test_types(tmp_path, texts, kept):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{text},1\n" for text in texts))
    assert frames.load(tmp_path / "t.csv").table["x"].tolist() == kept


def test_an_index_that_pandas_wrote_has_a_name(tmp_path):
    pd.DataFrame({"x": [5, 6]}).to_csv(tmp_path / "t.csv")
    assert list(frames.load(tmp_path / "t.csv").table) == ["column 1", "x"]


def test_a_missing_column_is_named_with_the_nearest(table):
    with pytest.raises(
        DataError, match=r"sales\.csv, column 'prize': the column is missing; the nearest name is 'price'"
    ):
        frames.load(table).column("prize")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("x,y\n", "no row"),
        ("x,y\n1\n", "line 2: the line has 1 field"),
        ("x,x\n1,2\n", "twice"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        frames.load(tmp_path / "t.csv")
