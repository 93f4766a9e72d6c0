"""Tables in chunks, column maps, and the line of whatever is wrong."""

import csv
import gzip
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels import files
from kmodels.datasets import readers, tables
from kmodels.datasets.columns import NumberColumn, match_columns, parse_columns
from kmodels.datasets.readers import open_table
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
    lines = [line for chunk in found for line in chunk.index]
    assert [whole.line(row) for row in range(len(lines))] == lines
    return {name: whole.frame[name].tolist() for name in (*labels, *numbers)}, found


@pytest.mark.parametrize("block_bytes", [7, 2**22])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_chunks_make_the_table_whatever_their_size(write, monkeypatch, block_bytes, end, last):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    text = "id,note,paid\n01,x,1\n1,,2.5\nä b,z,-3\n01,w,1e3" + last
    columns, found = read(write(("\ufeff" + text).replace("\n", end)))
    assert columns == {"id": ["01", "1", "ä b", "01"], "paid": [1, 2.5, -3, 1000]}
    assert (len(found) > 1) == (block_bytes == 7)


@pytest.mark.parametrize("block_bytes", [5, 30, 2**22])
def test_quotes(write, monkeypatch, block_bytes):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    text = '"id","paid"\n"a, b",1\n"say ""hi""",2\n"two\nlines","3"\nplain,4\n'
    columns, found = read(write(text))
    assert columns == {"id": ["a, b", 'say "hi"', "two\nlines", "plain"], "paid": [1, 2, 3, 4]}
    # The quoted newline counts as a line of the file.
    lines = [line for chunk in found for line in chunk.index]
    assert lines == [2, 3, 4, 6]


def test_labels_are_text_and_a_chunk_names_only_its_own(write):
    (chunk,) = read(write("id,paid\n7,1\n07,1\n7,1\n"))[1]
    assert chunk["id"].tolist() == ["7", "07", "7"]
    assert chunk["id"].cat.categories.tolist() == ["07", "7"]


def test_it_agrees_with_pandas_on_many_rows(write, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK_BYTES", 3000)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"paid": rng.random(2000).round(4), "id": rng.integers(0, 50, 2000), "other": "x"})
    path = write(table.to_csv(index=False))
    columns, found = read(path)
    assert columns["paid"] == table["paid"].tolist()
    assert columns["id"] == table["id"].astype(str).tolist()
    # Memory is bounded by the block: no chunk holds more than its rows.
    assert max(len(chunk) for chunk in found) < 3000 / 10


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
        ('id,paid\n"a\nb",1\nc\n', r"line 4: the line has 1 field"),
        ("id,paid\na,1\nb,2\nc,good\n", r"line 4, column 'paid': not a number; expected a number; received 'good'"),
        ("id,paid\na,1\nb,\nc,1\n", r"line 3, column 'paid': the field is empty"),
        ("id,paid\na,1\nb,nan\n", r"line 3, column 'paid': not a number"),
        ("id,paid\na,1\nb,1_000\n", r"line 3, column 'paid': not a number"),
        ('id,paid\na,1\nb,"1,000"\n', r"line 3, column 'paid': not a number; .*'1,000'"),
        ('id,paid\na,1\n"b,2\nc,3\nd,4\n', r"line 3: bad quotes"),
        ("id,paid\na,1\nb\x00,2\n", r"wrong encoding; expected UTF-8"),
        ("id,paid\na,1\rb,2\nc\n", r"line 4: "),
    ],
)
def test_a_wrong_line_is_named(write, monkeypatch, block_bytes, text, message):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    with pytest.raises(DataError, match=message):
        read(write(text))


def test_another_encoding_is_refused_with_its_line(write):
    with pytest.raises(DataError, match="line 3: wrong encoding"):
        read(write("id,paid\na,1\n\xe9,2\n".encode("latin-1")))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('id,paid\na,1\n"b,2\n' + "c,3\n" * 2**10, ", line 3"),
        ('id,paid\na,1\nb,"2\n"' + ',"\n"' * 2**10, ", line 3"),
        ("id,paid\na,1\n" + "b" * 2**10, ", line 3"),
        ('"' + "id\n" * 2**10, ""),
        ("id,paid" + ",x" * 2**10, ""),
        ("\n" * 2**10, ""),
    ],
)
def test_a_record_without_end_does_not_swallow_the_memory(write, monkeypatch, text, line):
    monkeypatch.setattr(readers, "LONGEST_RECORD", 2**9)
    with pytest.raises(DataError, match=rf"table.csv{line}: the record does not end; expected at most 512 characters"):
        read(write(text))


@pytest.mark.parametrize("name", ["table.csv", "table.json", "table.parquet"])
def test_what_has_too_many_columns_is_no_table(write, parquet, monkeypatch, name):
    monkeypatch.setattr(tables, "MOST_COLUMNS", 2)
    texts = {"table.csv": "id,paid,x\na,1,2\n", "table.json": '[{"id": "a"}, {"paid": 1, "x": 2}]'}
    path = write(texts[name], name) if name in texts else parquet(id=["a"], paid=[1], x=[2])
    with pytest.raises(DataError, match="the table has too many columns; expected at most 2"):
        open_table(path)


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(write, text):
    with pytest.raises(DataError, match=r"table\.csv: the file is empty"):
        open_table(write(text))


@pytest.mark.parametrize("text", ["id,paid", "id,paid\n", "id,paid\r\n\r\n"])
def test_a_header_alone_is_refused(write, text):
    with pytest.raises(DataError, match="the table has no row"):
        read(write(text))


@pytest.mark.parametrize("text", ["\nid,paid\na,1\n\nb,2", "id,paid\na,1\n\n\n\nb,2\n\n", "id,paid\n\n\na,1\nb,2\n"])
def test_empty_lines_are_left_out_and_counted(write, text):
    columns, found = read(write(text))
    assert columns == {"id": ["a", "b"], "paid": [1, 2]}
    expected = [text.split("\n").index(row) + 1 for row in ("a,1", "b,2")]
    assert [line for chunk in found for line in chunk.index] == expected
    with pytest.raises(DataError, match=f"line {expected[1]}, column 'paid'"):
        read(write(text.replace("b,2", "b,x")))


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
    monkeypatch.setattr(readers, "BATCH_ROWS", batch_rows)
    columns, found = read(parquet(paid=[1, 2, 3], id=["x", "y", "x"], other=[0, 0, 0]))
    assert columns == {"id": ["x", "y", "x"], "paid": [1, 2, 3]}
    assert [line for chunk in found for line in chunk.index] == [1, 2, 3]


def test_parquet_of_numbers_and_nulls(parquet):
    (chunk,) = read(parquet(id=[5, None, 7], paid=[0.5, 1.0, 2.0]))[1]
    assert chunk["id"].tolist() == ["5", "", "7"]
    np.testing.assert_array_equal(chunk["paid"], [0.5, 1.0, 2.0])
    with pytest.raises(DataError, match="line 2, column 'paid': the field is empty"):
        read(parquet(id=[5, 6, 7], paid=[0.5, None, 2.0]))


@pytest.mark.parametrize("batch_rows", [2, 2**18])
def test_parquet_of_texts_and_categories(parquet, monkeypatch, batch_rows):
    monkeypatch.setattr(readers, "BATCH_ROWS", batch_rows)
    texts, category = ["x", None, "", "x", "é"], pd.Categorical([5, 7, None, 5, 5])
    none = pd.Series([None] * 5, dtype="string")
    columns, _ = read(
        parquet(id=texts, kind=category, none=none, paid=["1", "2.5", "1", "3", "1e2"]), ("id", "kind", "none")
    )
    assert columns["id"] == ["x", "", "", "x", "é"]
    assert columns["kind"] == ["5", "7", "", "5", "5"]
    assert columns["none"] == [""] * 5
    assert columns["paid"] == [1, 2.5, 1, 3, 100]


def test_parquet_that_unpacks_to_far_more_is_refused(parquet, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2**16)
    path = parquet(id=[1] * 2**20, paid=[1.0] * 2**20)
    assert path.stat().st_size < 2**16
    with pytest.raises(DataError, match="unpacks to too much; expected at most"):
        open_table(path)
    with pytest.raises(DataError, match="unpacks to too much; expected at most"):
        read(parquet(id=["a" * 2**10] * 2**10, paid=[1.0] * 2**10))


def test_parquet_of_words_for_numbers_is_refused(parquet):
    with pytest.raises(DataError, match="line 1, column 'paid': not a number; expected a number; received 'much'"):
        read(parquet(id=["a"], paid=["much"]))


def test_parquet_without_rows_is_refused(parquet):
    with pytest.raises(DataError, match="the table has no row"):
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
        ("budget=,title= ", {"budget": "", "title": ""}),
        ('"title=Name, original",budget=a=b', {"title": "Name, original", "budget": "a=b"}),
    ],
)
def test_pairs_are_read(text, expected):
    assert parse_columns(text, KNOWN) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget", "list of ours=theirs.*'budget'"),
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


def test_a_malformed_row_near_the_end_blames_no_valid_one(write):
    rows = "".join(f"{number},31,2.5,1260759144.0\n" for number in range(1, 11))
    path = write("userId,movieId,rating,timestamp\n" + rows + "6,31,3.0\n")
    numbers = [NumberColumn("userId", "int64", 0), NumberColumn("rating"), NumberColumn("timestamp", "int64", 0)]
    with pytest.raises(DataError, match="line 12: the line has 3 fields"):
        open_table(path).read((), numbers)
    whole = open_table(write("userId,movieId,rating,timestamp\n" + rows)).read((), numbers)
    assert set(whole.frame["timestamp"]) == {1260759144}
    with pytest.raises(DataError, match=r"line 12, column 'timestamp': not a number; .* received 'soon'"):
        open_table(write("userId,movieId,rating,timestamp\n" + rows + "6,31,3.0,soon\n")).read((), numbers)


# --- compressed, damaged, hostile ---


@pytest.mark.parametrize(
    "name", ["table.csv.gz", "TABLE.CSV", "table.json", "TABLE.JSON", "table.json.gz", "table.tsv"]
)
def test_endings_of_names(tmp_path, name):
    path = tmp_path / name
    content = (
        b'[{"id": "a", "paid": 1}, {"id": "b", "paid": 2.5}]' if "json" in name.lower() else b"id,paid\na,1\nb,2.5\n"
    )
    content = content.replace(b",", b"\t") if name.endswith("tsv") else content
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read(path)[0] == {"id": ["a", "b"], "paid": [1, 2.5]}


def test_a_file_that_unpacks_to_far_more_is_refused_early(write, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2**16)
    path = write(gzip.compress(b"id,paid\n" + b"aaaa,1\n" * 2**20), "table.csv.gz")
    with pytest.raises(DataError, match="unpacks to too much; expected at most"):
        read(path)
    path = write(gzip.compress(b'[{"id": "' + b"a" * 2**23 + b'", "paid": 1}]'), "table.json.gz")
    with pytest.raises(DataError, match="unpacks to too much"):
        read(path)


def test_damaged_archives_and_what_is_no_file_are_refused(write, tmp_path):
    whole = gzip.compress(b"id,paid\n" + b"".join(b"%d,%d\n" % (i, i * 7 % 13) for i in range(5000)))
    rng = np.random.default_rng(0)
    for place in (*range(12), *rng.integers(12, len(whole), 40), len(whole) - 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        for content in (bytes(damaged), whole[:place]):
            path = write(content, "table.csv.gz")
            try:
                found = read(path)[0]["paid"]
            except DataError:
                continue
            assert found == [i * 7 % 13 for i in range(5000)]
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path, tmp_path / "pipe.csv"):
        with pytest.raises(DataError, match="not a file"):
            open_table(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "not JSON"),
        ('[{"id": "a", "paid": ' + "9" * 5000 + "}]", "record 1: out of range"),
        ('[{"id": "a", "paid": ' + "9" * 400 + "}]", "record 1: out of range"),
        ('[{"id": "a", "paid": 1e400}]', "record 1: out of range"),
        ('[{"id": "a", "paid": 1e-400}]', "record 1: out of range"),
        ('[{"id": "\\ud800", "paid": 1}]', "half of a surrogate pair"),
        ('[{"id": "a", "paid": NaN}]', "record 1: not a number"),
        ('{"id": "a", "paid": 1}\n{"id": "b", "paid": 2', "line 2: not JSON"),
        ('[{"id": "a", "paid": 1},]', "not JSON"),
        ('[{"id": "a", "paid": 1}', "not JSON .Expecting ',' delimiter"),
        ('[{"id": "a", "paid": 1}\n{"id": "b", "paid": 2}]', "line 2: not JSON .Expecting ',' delimiter"),
        ('[{"id": "a", "paid": 1}]\n[]', "line 2: not JSON .Extra data"),
        ('{"id": "a", "paid": 1} {"id": "b", "paid": 2}', "not JSON .Extra data"),
        ('{"id": "a",\n"paid": 1}\n{"id": "b", "paid": 2}', "line 3: not JSON .Extra data"),
        ('{"id": ["a"], "paid": [1, 2]}', "the columns differ in length"),
        ('[{"id": "a", "paid": 1}, 2]', "not a table"),
        ('{"id": "a", "paid": 1}\n[2]', "not a table"),
        ('[{"id": "a", "paid": 1, "id": "b"}]', "not JSON .the key 'id' stands twice"),
        ('{"id": "a", "paid": 1}\n{"id": "b", "paid": 2, "paid": 3}', "not JSON .the key 'paid' stands twice"),
    ],
)
def test_json_that_cannot_be_read_is_refused(write, text, message):
    with pytest.raises(DataError, match=message):
        read(write(text, "table.json"))


@pytest.mark.parametrize("form", ["list", "indented list", "lines", "columns", "indented columns", "one record"])
@pytest.mark.parametrize("lengths", [(1, 2, 2**10), (200, 2**10), (2**24,)])
def test_json_is_the_same_table_in_each_form(write, monkeypatch, form, lengths):
    monkeypatch.setattr(readers, "_PART_LENGTHS", lengths)
    monkeypatch.setattr(readers, "BATCH_ROWS", 2)
    records = [
        {"id": f'{i} é "}}],[{{', "paid": i / 7, "more": [{"x": [i]}, {}]} for i in range(1 if "one" in form else 5)
    ]
    indent = 1 if "indented" in form else None
    if "columns" in form:
        text = json.dumps({name: [record[name] for record in records] for name in records[0]}, indent=indent)
    elif "list" in form:
        text = json.dumps(records, indent=indent)
    else:
        text = "\n".join(map(json.dumps, records))
    columns, found = read(write(f" {text}\n ", "table.json"), ("id", "more"))
    assert columns["id"] == [record["id"] for record in records]
    assert columns["paid"] == [record["paid"] for record in records]
    assert [json.loads(each) for each in columns["more"]] == [record["more"] for record in records]
    assert [line for chunk in found for line in chunk.index] == list(range(1, len(records) + 1))


def test_what_is_wrong_in_json_is_said_of_a_long_file_too(write, monkeypatch):
    monkeypatch.setattr(readers, "_PART_LENGTHS", (2**6, 2**8))
    records = ['{"id": "a", "paid": 1}'] * 100
    for number in (0, 5, 99):
        damaged = [*records[:number], '{"id": "a" "paid": 1, "more": "some words"}', *records[number:]]
        with pytest.raises(DataError, match=rf"line {number + 1}: not JSON .Expecting ',' delimiter"):
            open_table(write("[" + ",\n".join(damaged) + "]", "table.json"))


def test_a_value_of_json_without_end_is_refused(write, monkeypatch):
    monkeypatch.setattr(readers, "_PART_LENGTHS", (2**4, 2**6))
    for text in ('[{"id": "a", "more": [' + "[]," * 2**6, '{"id": [' + "1," * 2**6, '{"id": "' + "a" * 2**6 + '"}'):
        with pytest.raises(DataError, match="a value of more than 64 characters"):
            open_table(write(text, "table.json"))


def test_json_numbers_are_read_as_they_are_written(write):
    text = '[{"id": 1.0000000000000001, "paid": 1e2}, {"id": 1e5, "paid": 0.1}, {"id": 00, "paid": 3}]'.replace(
        "00,", "0,"
    )
    assert read(write(text, "table.json"))[0] == {"id": ["1.0000000000000001", "1e5", "0"], "paid": [100, 0.1, 3]}


def test_a_file_has_one_encoding_its_header_included(write):
    content = "id,né,paid\nBé,x,1\n"
    for damaged in (content.encode().replace(b"n\xc3", b"n\xe9"), content.encode().replace(b"B\xc3", b"B\xe9")):
        with pytest.raises(DataError, match="wrong encoding"):
            open_table(write(damaged), latin_1=True).read()
    for encoding in ("utf-8", "latin-1"):
        table = open_table(write(content.encode(encoding)), latin_1=True).read()
        assert list(table.frame) == ["id", "né", "paid"]
        assert table.frame["id"].tolist() == ["Bé"]


@pytest.mark.parametrize("block_bytes", [7, 2**22])
@pytest.mark.parametrize("text", ["2\t", "2\v", "\f2"])
def test_other_space_than_blanks_is_no_part_of_a_number_by_any_parser(write, monkeypatch, block_bytes, text):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    with pytest.raises(DataError, match="not a number"):
        read(write(f"paid,id\n1,a\n{text},b\n"))


@pytest.mark.parametrize(("text", "right"), [("1.0", True), ("1e2", True), ("1.0000000000000001", False)])
def test_whole_numbers_are_whole_as_they_are_written(write, text, right):
    column = NumberColumn("paid", "int64")
    table = open_table(write(f"id,paid\na,{text}\n"))
    if right:
        assert table.read(["id"], [column]).frame["paid"].tolist() == [int(float(text))]
    else:
        with pytest.raises(DataError, match="not a whole number"):
            table.read(["id"], [column])


def test_damaged_parquet_is_refused_or_read_as_it_was(parquet, tmp_path):
    pandas_frame = {"id": [f"u{i % 7}" for i in range(300)], "paid": [i % 11 / 2 for i in range(300)]}
    path = parquet(**pandas_frame)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(
            bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)]) if rng.random() < 0.2 else damaged
        )
        try:
            read(path)
        except DataError:
            refused += 1
    assert refused > 50


def test_a_column_that_would_be_matched_is_left_out_on_demand():
    looked_for = {"id": ["id"], "note": ["note"], "paid": ["paid"]}
    names = ("id", "note", "paid")
    assert match_columns(names, {"note": "", "paid": ""}, looked_for, ["id"], Path("x")) == {"id": "id"}
    with pytest.raises(DataError, match="the required column 'id' is missing"):
        match_columns(names, {"id": ""}, looked_for, ["id"], Path("x"))


def test_the_limit_of_fields_is_left_as_it_was(write):
    path, limit = write('id,paid\n"a",1\n"b",2\n'), csv.field_size_limit()
    first, second = (open_table(path).chunks(["id"], []) for _ in range(2))
    assert next(first) is not next(second)
    first.close()
    second.close()
    assert csv.field_size_limit() == limit
