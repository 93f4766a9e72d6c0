"""Purchases: what is read from the Black Friday table's columns and from a table of one's own, and what is refused."""

import csv
import hashlib
import io

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import purchases, readers
from kmodels.errors import ConfigurationError, DataError

HEADER = ",".join(purchases.COLUMNS.values())
GOOD = (
    "1000001,P00069042,F,0-17,10,A,2,0,3,,,8370",
    "1000001,P00248942,F,0-17,10,A,2,0,1,6.0,14.0,15200",
    "1000004,P00069042,M,55+,7,B,4+,1,3,,,19215.5",
)


@pytest.fixture
def write(tmp_path):
    def make(*lines, name="purchases.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return make


def test_the_table(write):
    path = write(HEADER, *GOOD)
    data = purchases.load(path)
    assert (data.name, data.path) == ("purchases", path)
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    table = data.table
    ids = ["user_id", "product_id"]
    assert list(table) == [*ids, *list(purchases.COLUMNS)[2:]]
    assert table["user_id"].tolist() == [1000001, 1000001, 1000004]
    assert table["product_id"].tolist() == ["P00069042", "P00248942", "P00069042"]
    assert table["age"].tolist() == ["0-17", "0-17", "55+"]
    assert tuple(table["age"].cat.categories) == purchases.AGE_BANDS
    assert table["age"].max() == "55+"
    assert table["stay_years"].tolist() == ["2", "2", "4+"]
    assert tuple(table["stay_years"].cat.categories) == purchases.STAY_YEARS
    assert table["gender"].tolist() == ["F", "F", "M"]
    assert table["occupation"].tolist() == [10, 10, 7]
    assert table["city"].tolist() == ["A", "A", "B"]
    assert table["married"].tolist() == [0, 0, 1]
    assert table["category_1"].tolist() == [3, 1, 3]
    assert table["category_2"].tolist()[1] == 6
    assert table["category_3"].isna().tolist() == [True, False, True]
    assert table["amount"].tolist() == [8370, 15200, 19215.5]
    for name in table.drop(columns="amount"):
        assert isinstance(table[name].dtype, pd.CategoricalDtype), name
        assert table[name].cat.codes.dtype == np.int8, name


@pytest.mark.parametrize("block_bytes", [20_000, 2**22])
def test_the_sample_agrees_with_pandas(monkeypatch, block_bytes):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    data = purchases.load("sample")
    assert data.name == "sample"
    expected = pd.read_csv(data.path)
    for name, column in purchases.COLUMNS.items():
        found = data.table[f"{name}_id" if name in ("user", "product") else name]
        # Beside missing values pandas reads whole numbers as floats; both compare as the same objects.
        both = zip(found.astype(object), expected[column].astype(object), strict=True)
        assert all(mine == theirs or (mine != mine and theirs != theirs) for mine, theirs in both), name


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (["12", "3", "12"], [12, 3, 12]),
        (["012", "12", "3"], ["012", "12", "3"]),
        (["-4", "0", "7"], [-4, 0, 7]),
        (["12", "P3", " 12 "], ["12", "P3", "12"]),
        (["1.0", "2.0", "1"], ["1.0", "2.0", "1"]),
        (["9" * 30, "1", "2"], ["9" * 30, "1", "2"]),
    ],
)
def test_ids_are_numbers_only_if_nothing_is_lost(write, ids, read):
    table = purchases.load(write("User_ID,Product_ID,Purchase", *(f"{value},x,1" for value in ids))).table
    assert table["user_id"].tolist() == read
    categories = table["user_id"].cat.categories.tolist()
    assert categories == sorted(set(read))


def test_missing_values_and_whole_numbers_of_labels(write):
    values = ["8.0", "", "NA", "nan", "10", "8", "None", "NULL"]
    table = purchases.load(
        write("User_ID,Product_ID,Product_Category_2,Age,Purchase", *(f"1,x,{value},,1" for value in values))
    ).table
    assert table["category_2"].cat.categories.tolist() == [8, 10]
    assert table["category_2"].cat.codes.tolist() == [0, -1, -1, -1, 1, 0, -1, -1]
    assert table["age"].isna().all()


def test_a_table_of_ones_own(write):
    path = write(
        'SKU,"Customer, name",ignored,Total,Town',
        'A7,"Doe, Jane",\xe9,0,Oslo',
        "B1,Roe,x,12.25,",
        name="till.csv",
    )
    columns = {"product": "SKU", "user": "Customer, name", "amount": "Total", "city": "Town"}
    table = purchases.load(path, columns=columns).table
    assert list(table) == ["user_id", "product_id", "city", "amount"]
    assert table["user_id"].tolist() == ["Doe, Jane", "Roe"]
    assert table["amount"].tolist() == [0, 12.25]
    assert table["city"].isna().tolist() == [False, True]


def test_many_labels_take_more_bytes(write):
    rows = [f"u{number},p{number % 200},1" for number in range(40_000)]
    table = purchases.load(write("User_ID,Product_ID,Purchase", *rows)).table
    assert table["user_id"].cat.codes.dtype == np.int32
    assert table["product_id"].cat.codes.dtype == np.int16
    assert table["user_id"].tolist() == [f"u{number}" for number in range(40_000)]
    assert table["product_id"].tolist() == [f"p{number % 200}" for number in range(40_000)]


@pytest.mark.parametrize("block_bytes", [64, 2**22])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Purchase", "-5", "out of range; expected a number from 0; received '-5'"),
        ("Purchase", "nan", "not a number"),
        ("Purchase", "", "the field is empty"),
        ("Purchase", "inf", "not a number"),
        ("Purchase", "much", "not a number; expected a number from 0; received 'much'"),
        ("Age", "60-70", "unknown age band; expected one of 0-17, 18-25, .*55\\+; received '60-70'"),
        ("Age", "34", "unknown age band"),
        ("Stay_In_Current_City_Years", "5", "unknown stay_years band; expected one of 0, 1, 2, 3, 4\\+; received '5'"),
        ("User_ID", "", "the field is empty"),
        ("User_ID", "nan", "the field is empty; expected a number or a text; received 'nan'"),
        ("Product_ID", " ", "the field is empty"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_column(write, monkeypatch, block_bytes, column, value, message):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    fields = GOOD[0].split(",")
    fields[HEADER.split(",").index(column)] = value
    path = write(HEADER, *GOOD, ",".join(fields), *GOOD)
    with pytest.raises(DataError, match=rf"purchases\.csv, line 5, column '{column}': {message}") as caught:
        purchases.load(path)
    assert (caught.value.file, caught.value.row, caught.value.column) == (path, 5, column)


def test_a_malformed_row_is_named(write):
    with pytest.raises(DataError, match=r"line 3: the line has 2 fields; expected 12"):
        purchases.load(write(HEADER, GOOD[0], "1000001,P1", GOOD[1]))


@pytest.mark.parametrize("name", ["user", "product", "amount"])
def test_a_missing_required_column_is_refused(write, name):
    header = HEADER.replace(purchases.COLUMNS[name], "Other")
    with pytest.raises(DataError, match=rf"the required column '{name}' is missing; expected.* columns {name}=…"):
        purchases.load(write(header, *GOOD))


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    with pytest.raises(DataError, match=r"empty\.csv: the file is empty"):
        purchases.load(path)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"product": "SKU"}, DataError, "column 'SKU': there is no such column for 'product'; expected one of"),
        ({"produkt": "SKU"}, ConfigurationError, "knows the names user, product, .* Received: 'produkt'"),
        ({"user": "City_Category", "city": "City_Category"}, ConfigurationError, "column 'City_Category' twice"),
        # User_ID is also looked for as the user.
        ({"product": "User_ID"}, ConfigurationError, "'User_ID' twice, as 'user' and as 'product'"),
    ],
)
def test_a_wrong_mapping_is_refused(write, columns, error, message):
    with pytest.raises(error, match=message):
        purchases.load(write(HEADER, *GOOD), columns=columns)


def test_a_folder_means_the_one_table_in_it(write, tmp_path):
    with pytest.raises(DataError, match=r"not one table here; expected one table called purchases or .*'none'"):
        purchases.load(tmp_path)
    path = write(HEADER, *GOOD, name="till.csv")
    assert purchases.load(tmp_path).path == path
    write("nothing", name="groups.csv")
    with pytest.raises(DataError, match=r"not one table here; .* received 'groups\.csv, till\.csv'"):
        purchases.load(tmp_path)
    path = write(HEADER, *GOOD, name="train.csv")
    assert purchases.load(tmp_path).path == path
    write(HEADER, *GOOD)
    with pytest.raises(DataError, match=r"received 'purchases\.csv, train\.csv'"):
        purchases.load(tmp_path)


def test_an_unknown_source_is_refused():
    with pytest.raises(ConfigurationError, match="neither the name 'sample' nor an existing path"):
        purchases.load("black-friday")


def test_summary():
    found = purchases.summary(purchases.load("sample"))
    assert (found["rows"], found["users"], found["products"]) == (30_000, 300, 300)
    assert list(found["missing"]) == ["category_2", "category_3"]
    assert found["amount"]["min"] == 1
    assert found["amount"]["mean"] == pytest.approx(9264, rel=0.05)


def test_parquet_is_read_as_csv_is(write, tmp_path):
    pytest.importorskip("pyarrow")
    path = write(HEADER, *GOOD)
    pd.read_csv(path).to_parquet(tmp_path / "table.parquet")
    found = purchases.load(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(found.table, purchases.load(path).table)
    assert found.sha256 == hashlib.sha256((tmp_path / "table.parquet").read_bytes()).hexdigest()


def test_a_missing_amount_in_parquet_is_named_with_its_row(write, tmp_path):
    pytest.importorskip("pyarrow")
    table = pd.read_csv(write(HEADER, *GOOD))
    table.loc[1, "Purchase"] = None
    table.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match="line 2, column 'Purchase': the field is empty"):
        purchases.load(tmp_path / "table.parquet")


def strict(text):
    """Rows as the strict reader of the standard library has them."""
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]


@pytest.mark.parametrize(
    "products",
    [
        (' "oak, 4m"', ' "oak, 6m"'),
        ('2", 4" board', '2"'),
        ('"2"", 4"" board"', '"2"""'),
        ('board "A"', 'board ""A""'),
        ('"two\r\nlines"', "'x'"),
        ('"a"b', "c"),
        ('"', "c"),
    ],
)
def test_quotes_are_those_of_a_strict_reader_or_an_error(tmp_path, products):
    text = "User_ID,Product_ID,Purchase\n" + "".join(f"{user},{name},5\n" for user, name in enumerate(products))
    path = tmp_path / "till.csv"
    path.write_bytes(text.encode())
    try:
        expected = strict(text)
        assert {len(row) for row in expected} == {3}
    except (csv.Error, AssertionError):
        with pytest.raises(DataError):
            purchases.load(path)
    else:
        table = purchases.load(path).table
        assert table["product_id"].tolist() == [row[1].strip() for row in expected]


@pytest.mark.parametrize("amount", ["1e-400", "1e400", "0." + "0" * 400 + "1", "9" * 400, "٣", "1_0"])
def test_an_amount_that_no_float_can_hold_is_refused(write, amount):
    path = write("User_ID,Product_ID,Purchase", "1,a,0", f"2,b,{amount}")
    with pytest.raises(DataError, match=r"line 3, column 'Purchase': (out of range|not a number)"):
        purchases.load(path)
