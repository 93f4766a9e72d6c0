import datetime

import pytest

from kmodels.datasets import movie_fields as fields


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
