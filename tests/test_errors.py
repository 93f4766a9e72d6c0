import pickle
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


def test_received_text_is_bounded_and_printable():
    text = str(DataError("bad", file="a\x1b[31m.csv", column="x\ny", received="\x1b[2J\u202e" + "é" * 10_000 + "end"))
    assert text.startswith(r"a\x1b[31m.csv, column 'x\ny': bad; received '\x1b[2J\u202eéé")
    assert text.endswith("end'")
    assert text.isprintable()
    assert len(text) < 400
    assert len(str(DataError("bad", expected="e" * 10_000, received=list(range(10_000))))) < 700
    assert str(DataError("bad", received=10**5000)).startswith("bad; received ")
    assert str(DataError("bad", received="\ud800")) == r"bad; received '\ud800'"


@pytest.mark.parametrize("error", [ConfigurationError, TrainingError, DataError])
def test_every_message_is_one_bounded_line(error):
    text = str(error(f"first\nsecond \x07 {'x' * 10_000} Received: y"))
    assert text.startswith(r"first\nsecond \x07 xx")
    assert text.endswith("Received: y")
    assert len(text) < 700
    copy = pickle.loads(pickle.dumps(error(text)))
    assert (type(copy), str(copy)) == (error, text)
