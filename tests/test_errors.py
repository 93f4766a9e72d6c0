from pathlib import Path

import pytest

from kmodels.errors import ConfigurationError, DataError, KModelsError, TrainingError


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "bad"),
        ({"file": Path("a/b.csv")}, "a/b.csv: bad"),
        ({"file": "b.csv", "row": 3}, "b.csv, line 3: bad"),
        ({"row": 3, "column": "age"}, "row 3, column 'age': bad"),
        ({"expected": "1", "received": 0}, "bad; expected 1; received 0"),
        ({"received": ""}, "bad; received ''"),
    ],
)
def test_message_says_what_where_expected_and_received(arguments, text):
    assert str(DataError("bad", **arguments)) == text


def test_one_except_clause_catches_them_all():
    for error in (ConfigurationError, DataError, TrainingError):
        assert issubclass(error, KModelsError)
        assert issubclass(error, ValueError)
