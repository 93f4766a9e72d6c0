"""Parquet tables by row group: what is read is what was written, and what is refused before any row is read."""

import sys

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets.parquet import ParquetTable
from kmodels.errors import ConfigurationError, DataError

pytest.importorskip("pyarrow")
ROWS = 1000
FRAME = pd.DataFrame(
    {
        "user_id": np.arange(ROWS) // 10,
        "score": np.random.default_rng(0).normal(size=ROWS).astype("float32"),
        "name": [f"n{i % 7}" for i in range(ROWS)],
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), "h"),
    }
)


@pytest.fixture
def folder(tmp_path):
    """Three files with row groups of 90 rows, whose names are not in the order in which they were written."""
    for name, rows in {"b": FRAME[400:700], "a": FRAME[:400], "c": FRAME[700:]}.items():
        rows.to_parquet(tmp_path / f"{name}.parquet", row_group_size=90, index=False)
    (tmp_path / "notes.txt").write_text("no table")
    return tmp_path


def test_the_groups_of_a_folder_are_its_rows_in_the_order_of_the_names(folder):
    table = ParquetTable(folder)
    assert table.rows == ROWS
    assert [group.rows for group in table.groups] == [90, 90, 90, 90, 40, 90, 90, 90, 30, 90, 90, 90, 30]
    frames = [table.read(group) for group in range(len(table.groups))]
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), FRAME, check_dtype=False)
    assert [frame.index[0] for frame in frames[:7]] == [1, 91, 181, 271, 361, 1, 91]


def test_some_columns_of_a_file(folder):
    table = ParquetTable(folder / "b.parquet", ["score", "user_id"])
    assert list(table.read(1)) == ["score", "user_id"]
    assert list(table.read(1, ["user_id"])) == ["user_id"]
    np.testing.assert_array_equal(table.read(1)["score"], FRAME["score"][490:580])


def test_a_sample_has_distinct_rows_of_all_groups_in_their_order(folder):
    sample = ParquetTable(folder).sample(400, seed=3)
    merged = sample.merge(FRAME.reset_index(), on="when")
    assert len(merged) == 400
    assert merged["index"].is_monotonic_increasing
    assert merged["index"].is_unique
    # Of 13 groups all are drawn from: the rows of each are what a hypergeometric law gives, within 5 sigma.
    for start in range(0, ROWS, 250):
        share = merged["index"].between(start, start + 249).sum()
        assert abs(share - 100) < 5 * np.sqrt(400 * 0.25 * 0.75 * 0.6)
    assert not sample.equals(ParquetTable(folder).sample(400, seed=4))
    pd.testing.assert_frame_equal(ParquetTable(folder).sample(5000), FRAME, check_dtype=False)


def test_a_sample_of_a_large_table_reads_few_groups(tmp_path, monkeypatch):
    pd.DataFrame({"x": np.arange(4000)}).to_parquet(tmp_path / "t.parquet", row_group_size=10)
    table, asked, read = ParquetTable(tmp_path), [], ParquetTable.read
    monkeypatch.setattr(ParquetTable, "read", lambda self, group: asked.append(group) or read(self, group))
    assert len(table.sample(100)) == 100
    assert len(asked) == 32
    asked.clear()
    assert len(table.sample(355)) == 355
    assert len(asked) == 36


def damage(folder, kind):
    path = folder / "b.parquet"
    whole, frame = path.read_bytes(), pd.read_parquet(path)
    match kind:
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("user_id,score\n1,2\n")
        case "missing column":
            frame.drop(columns="score").to_parquet(path)
        case "other type":
            frame.astype({"user_id": str}).to_parquet(path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "not a Parquet file, or a damaged one"),
        ("empty", "not a Parquet file, or a damaged one"),
        ("text", "not a Parquet file, or a damaged one"),
        ("missing column", "column 'score': the file lacks a column; received"),
        ("other type", "column 'user_id': another type than in the first file; expected 'int64'; received"),
    ],
)
def test_a_folder_with_one_wrong_file_is_refused_at_once(folder, kind, message, monkeypatch):
    damage(folder, kind)
    monkeypatch.setattr(ParquetTable, "read", lambda *_: pytest.fail("a row was read"))
    with pytest.raises(DataError) as error:
        ParquetTable(folder)
    assert str(error.value).startswith(f"{folder / 'b.parquet'}")
    assert message.replace("'int64'", "int64") in str(error.value)


def test_columns_that_are_not_needed_may_differ(folder):
    damage(folder, "other type")
    assert ParquetTable(folder, ["score"]).rows == ROWS


def test_damaged_pages_are_refused_when_they_are_read(folder):
    path = folder / "b.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    table = ParquetTable(folder)
    table.read(0)
    with pytest.raises(DataError, match=r"b\.parquet: not a Parquet file, or a damaged one"):
        table.read(5)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent: the file is missing"):
        ParquetTable(tmp_path / "absent")
    with pytest.raises(DataError, match="no Parquet file is in the folder"):
        ParquetTable(tmp_path)
    FRAME[:0].to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="the table has no rows"):
        ParquetTable(tmp_path)


def test_a_row_group_that_memory_may_not_hold_is_refused(folder, monkeypatch):
    monkeypatch.setattr("kmodels.datasets.parquet.MOST_ROWS", 89)
    with pytest.raises(DataError, match=r"a\.parquet: a row group is too large; expected at most 89 rows; received 90"):
        ParquetTable(folder)


def test_without_pyarrow_the_command_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'kmodels\[parquet\]'"):
        ParquetTable(folder)
