"""Films of any table, and what may stand in a field."""

import csv
import datetime
import hashlib
import io
import json

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import movie_fields as fields
from kmodels.datasets import movies
from kmodels.datasets.readers import open_table
from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError, DataError

TMDB = ("id", "title", "genres", "budget", "revenue", "runtime", "release_date", "vote_average", "vote_count")
FILMS = [
    (19995, "Avatar", '[{"id": 28, "name": "Action"}]', 237000000, 2787965087, 162.0, "2009-12-10", 7.2, 11800),
    (285, "Pirates", "[]", 300000000, 0, 169.0, "2007-05-19", 6.9, 4500),
    (11, "Lost, the", '[{"id": 1, "name": "Drama"}, {"id": 2, "name": "War"}]', 10, 4, "", "", 0.0, 0),
    (12, "Free", "[]", 0, 10, 90, "1999-01-01", 5, 3),
    (13, "Batman", "[]", 5, 6, 90, "1989-01-01", 5, 3),
    (14, "Batman", "[]", 7, 8, 90, "1966-01-01", 5, 3),
    (15, "batman", "[]", 9, 9, 90, "1989-01-01", 5, 3),
]
CREWS = [
    (19995, '[{"job": "Editor", "name": "E"}, {"job": "Director", "name": "James Cameron"}]'),
    (285, "[]"),
    (11, '[{"job": "Producer", "name": "P"}]'),
    (13, '[{"job": "Director", "name": "Tim Burton"}]'),
]


def as_csv(header, rows, delimiter=","):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "tmdb_5000_movies.csv").write_text(as_csv(TMDB, FILMS))
    (tmp_path / "tmdb_5000_credits.csv").write_text(as_csv(("movie_id", "crew"), CREWS))
    return tmp_path


@pytest.fixture
def write(tmp_path):
    def put(text, name="films.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return put


def test_tmdbs_pair(pair):
    data = movies.load(pair)
    table = data.table
    assert table["title"].tolist() == ["Avatar", "Lost, the", "Batman", "Batman"]
    assert table["genres"].tolist() == [("Action",), ("Drama", "War"), (), ()]
    assert table["director"].tolist() == ["James Cameron", "", "Tim Burton", ""]
    assert table["budget"].tolist() == [237e6, 10, 5, 7]
    assert table["rating"].tolist() == [7.2, 0, 5, 5]
    assert table["votes"].tolist() == [11800, 0, 3, 3]
    np.testing.assert_array_equal(table["runtime"], [162, np.nan, 90, 90])
    assert table["release_date"].dt.year.tolist()[2:] == [1989, 1966]
    assert table["release_date"].isna().tolist() == [False, True, False, False]
    assert data.dropped == {"no budget": 1, "no revenue": 1, "repeated": 1}
    assert data.noted == {"missing genres": 2, "missing director": 2, "missing runtime": 1, "missing release_date": 1}
    assert movies.target(data).tolist() == [1, 0, 1, 1]
    content = b"".join((pair / f"tmdb_5000_{name}.csv").read_bytes() for name in ("movies", "credits"))
    assert data.sha256 == hashlib.sha256(content).hexdigest()
    assert list(table.columns) == [name for name in movies.COLUMNS if name in table]


OTHER = [
    ("Heat", "Crime, Drama", "M. Mann", "$60,000,000", "$187,436,818", "15-Dec-95", "170 min"),
    ("Old, one", "", "N/A", "$1.5 million", "$0.2m", "18-Oct-46", ""),
    ("Gone", "War", "", "", "$5", "Jun 12 1998", "90"),
    ("Zero", "War", "", "$5", "$0", "", "90"),
]
HEADER = ("Title", "Major Genre", "Director", "Production Budget", "Worldwide Gross", "Released", "Running Time")
MAP = (
    "title=Title,genres=Major Genre,director=Director,budget=Production Budget,"
    "revenue=Worldwide Gross,release_date=Released,runtime=Running Time"
)


def as_json_records():
    return json.dumps([{k: v or None for k, v in zip(HEADER, row, strict=True)} for row in OTHER])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("films.csv", as_csv(HEADER, OTHER)),
        ("films.csv", "\ufeff" + as_csv(HEADER, OTHER, ";").replace("\n", "\r\n")),
        ("films.tsv", as_csv(HEADER, OTHER, "\t")),
        ("films.json", as_json_records()),
        ("films.json", "\n".join(json.dumps(record) for record in json.loads(as_json_records()))),
        ("films.json", json.dumps({name: [row[i] for row in OTHER] for i, name in enumerate(HEADER)})),
    ],
    ids=["comma", "semicolon", "tab", "records", "lines", "columns"],
)
def test_another_table_through_a_map(write, name, text):
    data = movies.load(write(text, name), columns=parse_columns(MAP, movies.COLUMNS), separator=",")
    assert data.table["genres"].tolist() == [("Crime", "Drama"), ()]
    assert data.table["director"].tolist() == ["M. Mann", ""]
    assert data.table["budget"].tolist() == [60e6, 1.5e6]
    assert data.table["revenue"].tolist() == [187436818, 0.2e6]
    assert data.table["release_date"].dt.year.tolist() == [1995, 1946]
    assert data.dropped == {"no budget": 1, "no revenue": 1}
    assert data.noted["two-digit year"] == 2
    assert movies.input_columns(data) == ("budget", "runtime", "genres", "director")


def test_only_budget_and_revenue_are_needed(write):
    data = movies.load(write("budget,revenue\n1,2\n2,1\n2,1\n"))
    # Without a title nothing says that equal amounts are one film.
    assert data.table.to_numpy().tolist() == [[1, 2], [2, 1], [2, 1]]
    assert movies.input_columns(data) == ("budget",)
    assert movies.summary(data) == {
        "rows": 3,
        "profitable": 1 / 3,
        "first_year": None,
        "last_year": None,
        "directors": 0,
        "dropped": {},
        "noted": {},
        "sha256": data.sha256,
    }


def test_rows_that_repeat_are_counted(write):
    # The same title with other amounts and no date may be a remake.
    data = movies.load(write("title,budget,revenue\nA,1,2\nA,1,2\nA,1,3\n,1,2\n,1,2\n"))
    assert data.table["title"].tolist() == ["A", "A", "", ""]
    assert data.dropped == {"repeated": 1}


@pytest.mark.parametrize(
    ("text", "columns", "pieces"),
    [
        ("a,b\n1,2\n", "budget=a,revenue=c", ["column 'c'", "no such column for 'revenue'", "one of a, b"]),
        ("a,b\n1,2\n", "budget=a", ["the required column 'revenue' is missing", "revenue=…"]),
        ("budget,revenue\n1,2\ncheap,3\n", "", ["line 3, column 'budget'", "not an amount", "'cheap'"]),
        ("a,b\n1,2\n1,-3\n", "budget=a,revenue=b", ["line 3, column 'b'", "not an amount", "'-3'"]),
        ("budget,revenue,runtime\n1,2,long\n", "", ["line 2, column 'runtime'", "not a number", "'long'"]),
        ("budget,revenue,rating\n1,2,-1\n", "", ["line 2, column 'rating'", "below 0"]),
        ('budget,revenue,genres\n1,2,"[{""x"": 1}]"\n', "", ["line 2, column 'genres'", "not a list of names"]),
        ("budget,revenue,release_date\n1,2,31/12/99\n", "", ["line 2, column 'release_date'", "not a date"]),
        ("budget,revenue\n$1,€2\n", "", ["line 2", "several currencies", "'$' as in row 1"]),
        ("budget,revenue\n0,2\n1,0\n", "", ["no film has both", "'no budget': 1", "'no revenue': 1"]),
        ("budget,revenue\n", "", ["no row"]),
        ("", "", ["empty"]),
        ("budget,revenue\n1,2,3\n", "", ["line 2", "3 fields", "2 fields"]),
        ('budget,revenue\n1,"2\n', "", ["bad quotes"]),
        ("budget,budget,revenue\n1,2,3\n", "", ["twice", "'budget'"]),
        ('title,budget,revenue\n"A\nB",1,2\nC,1,x\n', "", ["line 4"]),
    ],
)
def test_wrong_tables_are_refused(write, text, columns, pieces):
    with pytest.raises(DataError) as error:
        movies.load(write(text), columns=parse_columns(columns, movies.COLUMNS))
    for piece in ["films.csv", *pieces]:
        assert piece in str(error.value)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("{", ["not JSON"]),
        ("[1, 2]", ["not a table"]),
        ('{"budget": [1], "revenue": [1, 2]}', ["differ in length"]),
        ('[{"budget": 1, "revenue": "x"}]', ["record 1", "column 'revenue'", "not an amount"]),
        ('[{"budget": [1], "revenue": 2}]', ["record 1", "column 'budget'", "'[1]'"]),
    ],
)
def test_wrong_json_is_refused(write, text, pieces):
    with pytest.raises(DataError) as error:
        movies.load(write(text, "films.json"))
    for piece in ["films.json", *pieces]:
        assert piece in str(error.value)


def test_a_folder_must_hold_one_table(tmp_path):
    with pytest.raises(DataError, match=r"not one table.*received 'none'"):
        movies.load(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("budget,revenue\n1,2\n")
    with pytest.raises(DataError, match=r"not one table.*a.csv, b.csv"):
        movies.load(tmp_path)


def test_wrong_credits_are_refused(pair):
    credit_file = pair / "tmdb_5000_credits.csv"
    credit_file.write_text("movie_id,cast\n1,x\n")
    with pytest.raises(DataError, match=r"credits\.csv, column 'crew'"):
        movies.load(pair)
    credit_file.write_text("movie_id,crew\n1,x\n")
    with pytest.raises(DataError, match=r"credits\.csv, line 2, column 'crew': not a list"):
        movies.load(pair)


def test_long_fields_are_read(write):
    # Longer than the csv module takes by itself.
    limit = csv.field_size_limit(2**17)
    try:
        assert len(open_table(write("a,b\n1," + "x" * 300_000 + "\n")).read().frame["b"].iloc[0]) == 300_000
        assert csv.field_size_limit() == 2**17
    finally:
        csv.field_size_limit(limit)


def test_one_class_alone_is_refused(write):
    data = movies.load(write("budget,revenue\n1,2\n1,3\n"))
    with pytest.raises(DataError, match="all 2 films made a profit"):
        movies.target(data)
    data = movies.load(write("budget,revenue\n2,2\n"))
    with pytest.raises(DataError, match="all 1 films made no profit"):
        movies.target(data)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("budget=a,revenue=b,votes=US Gross", "'US Gross' is part of the revenue.*cannot be the votes"),
        ("budget=Total Box-Office,revenue=b", "'Total Box-Office' is part of the revenue"),
        ("price=a", "knows the names title, genres"),
        ("budget=a,revenue=a", "'a' twice"),
    ],
)
def test_wrong_maps_are_refused(write, columns, message):
    with pytest.raises(ConfigurationError, match=message):
        movies.load(write("a,b\n1,2\n"), columns=parse_columns(columns, movies.COLUMNS))


def test_what_is_known_after_release_is_left_out_unless_asked_for(pair):
    data = movies.load(pair)
    before = ("budget", "runtime", "genres", "director")
    assert movies.input_columns(data) == before
    assert movies.input_columns(data, known_before_release=False) == (*before, "rating", "votes")
    assert set(movies.AFTER_RELEASE) == {"rating", "votes", "revenue"}


def test_sample():
    data = movies.load("sample")
    assert data.name == "sample"
    assert len(data.table) == 4400
    assert data.dropped == {"no budget": 110, "no revenue": 170, "repeated": 6}
    assert data.table["release_date"].notna().all()
    assert isinstance(data.table, pd.DataFrame)
    with pytest.raises(ConfigurationError, match="unknown data source 'samples'"):
        movies.load("samples")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("237000000", (237e6, "")),
        ("$1,234", (1234.0, "$")),
        ("$ 237,000,000.50", (237000000.5, "$")),
        ("US$12 million", (12e6, "US$")),
        ("€3.5m", (3.5e6, "€")),
        ("3.3 mn", (3.3e6, "")),
        ("1.1M", (1100000.0, "")),
        ("2bn", (2e9, "")),
        ("1 234 567 EUR", (1234567.0, "EUR")),
        ("1\u202f234\u202f567", (1234567.0, "")),
        ("1.234.567 €", (1234567.0, "€")),
        ("GBP 40k", (40e3, "GBP")),
        ("1e8", (1e8, "")),
        ("0", (0.0, "")),
        ("12.345", (12.345, "")),
    ],
)
def test_amounts(text, expected):
    assert fields.parse_amount(text) == expected


@pytest.mark.parametrize(
    "text", ["-5", "(500)", "1,23", "1,2345", "12 lots", "abc", "$", "$5 USD", "1.2.3", "5 5", "inf"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="amount"):
        fields.parse_amount(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("7.5", 7.5), ("12,000", 12000.0), ("-3", -3.0), ("142 min", 142.0), ("1e3", 1000.0)]
)
def test_numbers(text, expected):
    assert fields.parse_number(text) == expected


@pytest.mark.parametrize("text", ["good", "1,00", "2h", ".", "nan", "inf", "7.5/10"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="not a number"):
        fields.parse_number(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2009-12-10", "2009-12-10"),
        ("2009-12-10T00:00:00Z", "2009-12-10"),
        ("12/31/1999", "1999-12-31"),
        ("Jun 12 1998", "1998-06-12"),
        ("June 12, 1998", "1998-06-12"),
        ("12 June 1998", "1998-06-12"),
        ("1998", "1998-01-01"),
        ("1998.0", "1998-01-01"),
    ],
)
def test_dates(text, expected):
    assert fields.parse_date(text) == (datetime.date.fromisoformat(expected), False)


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("18-Oct-46", 1946),
        ("18-Oct-29", 2029),
        ("18-Oct-30", 1930),
        ("10/18/00", 2000),
        ("Oct 18 99", 1999),
        ("Oct 18 2046", 1946),
    ],
)
def test_a_year_of_two_digits_is_not_in_the_far_future(text, year):
    assert fields.parse_date(text) == (datetime.date(year, 10, 18), True)


@pytest.mark.parametrize("text", ["31/12/1999", "2009-02-30", "1.1.1999", "soon", "2500", "1066", "46", "2129"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match="not a date"):
        fields.parse_date(text)


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ('[{"id": 1, "name": "Drama"}, {"id": 2, "name": "War"}]', "|", ("Drama", "War")),
        ("[{'id': 1, 'name': 'Drama'}]", "|", ("Drama",)),
        ('["Drama", "Drama"]', "|", ("Drama",)),
        ("Drama, War ,", ",", ("Drama", "War")),
        ("Drama", "|", ("Drama",)),
        ("[]", "|", ()),
    ],
)
def test_lists_of_names(text, separator, expected):
    assert fields.parse_names(text, separator) == expected


@pytest.mark.parametrize("text", ["[1]", '[{"id": 1}]', "[oops", "[__import__('os')]"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ValueError, match="not a list"):
        fields.parse_names(text, "|")


def test_director_is_the_first_of_that_job():
    crew = '[{"job": "Producer", "name": "P"}, {"job": "Director", "name": "A"}, {"job": "Director", "name": "B"}]'
    assert fields.director_of(crew) == "A"
    assert fields.director_of('[{"job": "Producer", "name": "P"}]') == ""
    with pytest.raises(ValueError, match="not a list of records"):
        fields.director_of('["A"]')


@pytest.mark.parametrize("text", ["1e-400", "1e400", "9" * 400, "$0." + "0" * 400 + "1", "1e308 million"])
def test_numbers_that_no_float_can_hold_are_refused(text):
    with pytest.raises(ValueError, match=r"out of range|not an amount"):
        fields.parse_amount(text)
    with pytest.raises(ValueError, match=r"out of range|not a number"):
        fields.parse_number(text)


@pytest.mark.parametrize("text", ["١٩٩٨", "1998-٠١-01", "९-Jan-1998"])
def test_dates_in_other_digits_are_refused(text):
    with pytest.raises(ValueError, match="not a date"):
        fields.parse_date(text)


@pytest.mark.parametrize(
    "text", ['[{"name": "\\ud800"}]', "['\\udfff']", "[" * 3000 + "]" * 3000, "[" + "9" * 5000 + "]"]
)
def test_lists_of_what_is_no_text_are_refused(text):
    with pytest.raises(ValueError, match=r"not a list|surrogate"):
        fields.parse_names(text, "|")
