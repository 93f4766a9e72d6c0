"""Tables in chunks, column maps, and the line of whatever is wrong."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import chunks
from kmodels.datasets.chunks import open_table
from kmodels.datasets.columns import NumberColumn, match_columns, parse_columns
from kmodels.errors import ConfigurationError, DataError


@pytest.fixture
def write(tmp_path):
    def make(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def read(path, labels=("id",), numbers=("paid",)):
    """The whole table as lists of text and of numbers, and its chunks."""
    table, wanted = open_table(path), [NumberColumn(name) for name in numbers]
    whole, found = table.read(labels, wanted), list(table.chunks(labels, wanted))
    columns = {name: [texts[code] for code in codes] for name, (texts, codes) in whole.labels.items()}
    lines = [line for chunk in found for line in chunk.lines]
    assert [whole.line(row) for row in range(len(lines))] == lines
    return columns | {name: whole.numbers[name].tolist() for name in numbers}, found


@pytest.mark.parametrize("block_bytes", [7, 40, 2**22])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_chunks_make_the_table_whatever_their_size(write, monkeypatch, block_bytes, end, last):
    monkeypatch.setattr(chunks, "BLOCK_BYTES", block_bytes)
    text = "id,note,paid\n01,x,1\n1,,2.5\nä b,z,-3\n01,w,1e3" + last
    columns, found = read(write(("\ufeff" + text).replace("\n", end)))
    assert columns == {"id": ["01", "1", "ä b", "01"], "paid": [1, 2.5, -3, 1000]}
    assert len(found) > 1 or block_bytes == 2**22


@pytest.mark.parametrize("block_bytes", [5, 30, 2**22])
def test_quotes(write, monkeypatch, block_bytes):
    monkeypatch.setattr(chunks, "BLOCK_BYTES", block_bytes)
    text = '"id","paid"\n"a, b",1\n"say ""hi""",2\n"two\nlines","3"\nplain,4\n'
    columns, found = read(write(text))
    assert columns == {"id": ["a, b", 'say "hi"', "two\nlines", "plain"], "paid": [1, 2, 3, 4]}
    # The quoted newline counts as a line of the file.
    lines = [line for chunk in found for line in chunk.lines]
    assert lines == [2, 3, 4, 6]


def test_labels_are_text_and_a_chunk_names_only_its_own(write):
    (chunk,) = read(write("id,paid\n7,1\n07,1\n7,1\n"))[1]
    assert chunk.labels["id"][0] == ["07", "7"]
    assert chunk.labels["id"][1].tolist() == [1, 0, 1]


def test_it_agrees_with_pandas_on_many_rows(write, monkeypatch):
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 3000)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"paid": rng.random(2000).round(4), "id": rng.integers(0, 50, 2000), "other": "x"})
    path = write(table.to_csv(index=False))
    columns, found = read(path)
    assert columns["paid"] == table["paid"].tolist()
    assert columns["id"] == table["id"].astype(str).tolist()
    # Memory is bounded by the block: no chunk holds more than its rows.
    assert max(len(chunk.numbers["paid"]) for chunk in found) < 3000 / 10


def test_a_table_of_one_column(write):
    assert read(write("paid\n1\n2\n"), labels=())[0] == {"paid": [1, 2]}


@pytest.mark.parametrize("block_bytes", [20, 2**22])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,paid\na,1\nb\nc,3\n", r"line 3: the line has 1 field; expected 2.*received 'b'"),
        ("id,paid\na,1\nb,2\nc,3,4\n", r"line 4: the line has 3 fields; expected 2.*'c,3,4'"),
        # A long line does not make up for a short one.
        ("id,paid\na,1\nb\nc,3,4\n", r"line 3: the line has 1 field"),
        ("id,paid\na,1\nb,2,3\nc\n", r"line 3: the line has 3 fields"),
        ("id,paid\na,1\n\nb,2\n", r"line 3: the line has 1 field"),
        ('id,paid\n"a\nb",1\nc\n', r"line 4: the line has 1 field"),
        ("id,paid\na,1\nb,2\nc,good\n", r"line 4, column 'paid': not a number; expected a number; received 'good'"),
        ("id,paid\na,1\nb,\nc,1\n", r"line 3, column 'paid': the field is empty"),
        ("id,paid\na,1\nb,nan\n", r"line 3, column 'paid': not a number"),
        ("id,paid\na,1\nb,1_000\n", r"line 3, column 'paid': not a number"),
        ('id,paid\na,1\nb,"1,000"\n', r"line 3, column 'paid': not a number; .*'1,000'"),
        ('id,paid\na,1\n"b,2\nc,3\nd,4\n', r"line 3: a double quote is opened and not closed"),
        ("id,paid\na,1\nb\x00,2\n", r"wrong encoding; expected UTF-8"),
        ("id,paid\na,1\rb,2\nc,3\n", r"line 2: "),
    ],
)
def test_a_wrong_line_is_named(write, monkeypatch, block_bytes, text, message):
    monkeypatch.setattr(chunks, "BLOCK_BYTES", block_bytes)
    with pytest.raises(DataError, match=message):
        read(write(text))


def test_another_encoding_is_refused_with_its_line(write):
    with pytest.raises(DataError, match="line 3: wrong encoding"):
        read(write("id,paid\na,1\n\xe9,2\n".encode("latin-1")))


def test_an_open_quote_does_not_swallow_the_memory(write, monkeypatch):
    monkeypatch.setattr(chunks, "BLOCK_BYTES", 64)
    path, sizes = write('id,paid\na,1\n"b,2\n' + "c,3\n" * 10_000), []
    ends = chunks._ends
    monkeypatch.setattr(chunks, "_ends", lambda data, quoted: sizes.append(len(data)) or ends(data, quoted))
    with pytest.raises(DataError, match="line 3: a double quote"):
        read(path)
    # It gave up after a few blocks.
    assert max(sizes) < 64 * 6


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(write, text):
    with pytest.raises(DataError, match=r"table\.csv: the file is empty"):
        open_table(write(text))


@pytest.mark.parametrize("text", ["id,paid", "id,paid\n", "id,paid\r\n\r\n"])
def test_a_header_alone_is_refused(write, text):
    with pytest.raises(DataError, match="there is no row below the header"):
        read(write(text))


def test_an_empty_first_line_is_refused(write):
    with pytest.raises(DataError, match="line 1: the line is empty; expected the names of the columns"):
        open_table(write("\nid,paid\na,1\n"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: the file is missing"):
        open_table(tmp_path / "none.csv")


def test_a_column_that_stands_twice_is_refused(write):
    table = open_table(write("id,paid,paid\na,1,2\n"))
    with pytest.raises(DataError, match="column 'paid': the header names this column twice"):
        match_columns(table.names, {}, {"amount": ["paid"]}, (), Path("table.csv"))


# --- Parquet ---


def test_parquet_without_pyarrow_names_the_command(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'kmodels\[parquet\]'"):
        open_table(write("x", "table.parquet"))


@pytest.fixture
def parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def make(**columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / "table.parquet")
        return tmp_path / "table.parquet"

    return make


@pytest.mark.parametrize("batch_rows", [2, 2**18])
def test_parquet(parquet, monkeypatch, batch_rows):
    monkeypatch.setattr(chunks, "BATCH_ROWS", batch_rows)
    columns, found = read(parquet(paid=[1, 2, 3], id=["x", "y", "x"], other=[0, 0, 0]))
    assert columns == {"id": ["x", "y", "x"], "paid": [1, 2, 3]}
    assert [line for chunk in found for line in chunk.lines] == [1, 2, 3]


def test_parquet_of_numbers_and_nulls(parquet):
    (chunk,) = read(parquet(id=[5, None, 7], paid=[0.5, 1.0, 2.0]))[1]
    texts, codes = chunk.labels["id"]
    assert [texts[code] if code >= 0 else None for code in codes] == ["5", None, "7"]
    np.testing.assert_array_equal(chunk.numbers["paid"], [0.5, 1.0, 2.0])
    with pytest.raises(DataError, match="line 2, column 'paid': the value is missing"):
        read(parquet(id=[5, 6, 7], paid=[0.5, None, 2.0]))


def test_parquet_of_words_for_numbers_is_refused(parquet):
    with pytest.raises(DataError, match="column 'paid': not numbers; expected a column of numbers"):
        read(parquet(id=["a"], paid=["much"]))


def test_parquet_without_rows_is_refused(parquet):
    with pytest.raises(DataError, match="the table has no rows"):
        read(parquet(id=[], paid=[]))


def test_what_is_no_parquet_is_refused(write):
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="not a Parquet file"):
        open_table(write("id,paid\n", "table.parquet"))


KNOWN = ("budget", "revenue", "title")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (
            "budget=Production Budget,revenue=Worldwide Gross",
            {"budget": "Production Budget", "revenue": "Worldwide Gross"},
        ),
        (" title = Name , budget=b", {"title": "Name", "budget": "b"}),
        ('"title=Name, original",budget=a=b', {"title": "Name, original", "budget": "a=b"}),
    ],
)
def test_pairs_are_read(text, expected):
    assert parse_columns(text, KNOWN) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget", "list of ours=theirs.*'budget'"),
        ("budget=", "list of ours=theirs"),
        ("=Cost", "list of ours=theirs"),
        ("budget=a,", "list of ours=theirs"),
        ("price=Cost", "knows the names budget, revenue, title. Received: 'price'"),
        ("budget=a,budget=b", "names 'budget' twice"),
        ("budget=a,revenue=a", "the table's column 'a' twice"),
        ('"budget=a', "bad quotes"),
    ],
)
def test_a_wrong_map_is_refused(text, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_columns(text, KNOWN)
