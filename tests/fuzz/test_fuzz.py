"""Damaged files are refused or read as an independent reader reads them; 10,000 by `python -m tests.fuzz`."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.fuzz import campaign
from tests.fuzz.readers import CASES


@pytest.mark.parametrize("name", CASES)
def test_no_damage_brings_a_foreign_error_or_a_silent_change(name):
    outcome = campaign.run(42, seed=0, only=name)[name]
    assert outcome.wrong == []
    assert outcome.counts["refused"] >= 10
    assert outcome.counts["equal"] >= 1


@pytest.mark.parametrize("name", CASES)
def test_whole_files_are_read_as_they_are(name, tmp_path):
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        for file, content in CASES[name].make(np.random.default_rng(seed)).items():
            (folder / file).write_bytes(content)
        assert campaign.judge(CASES[name], folder) == ("equal", "")


def _without_the_last_row(found):
    if isinstance(found, dict):
        return dict([*found.items()][:-1])
    tables = {name: value[:-1] for name, value in vars(found).items() if isinstance(value, pd.DataFrame | np.ndarray)}
    return dataclasses.replace(found, **tables)


def _with_another_value(found):
    if isinstance(found, dict):
        return dict(zip(found, [*found.values()][::-1], strict=True))

    def changed(table):
        if isinstance(table, np.ndarray):
            return table + np.ones(1, table.dtype)
        numbers = table.select_dtypes("number")
        return table.assign(**{name: numbers[name] + 1 for name in numbers})

    tables = {
        name: changed(value) for name, value in vars(found).items() if isinstance(value, pd.DataFrame | np.ndarray)
    }
    return dataclasses.replace(found, **tables)


@pytest.mark.parametrize("change", [_without_the_last_row, _with_another_value])
@pytest.mark.parametrize("name", CASES)
def test_a_reader_that_drops_rows_or_changes_values_is_found(name, change, tmp_path):
    case = CASES[name]
    for file, content in case.make(np.random.default_rng(0)).items():
        (tmp_path / file).write_bytes(content)
    broken = dataclasses.replace(case, read=lambda folder: change(case.read(folder)))
    assert campaign.judge(broken, tmp_path)[0] == "silent"
