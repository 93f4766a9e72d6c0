import pytest

from kmodels.datasets.tables import parse_columns
from kmodels.errors import ConfigurationError

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
