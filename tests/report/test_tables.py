import numpy as np
import pandas as pd
import pytest

from kmodels.errors import DataError
from kmodels.report import fragments, tables


def test_a_frame_becomes_a_table_with_gaps_as_dashes():
    data = pd.DataFrame({"better_in": [3, 0], "low": [0.5, np.nan], "kind": ["a<b", None]}, index=["net", "tree"])
    text = tables.frame(data, name="variant", caption="Folds", bold=["net", None, None])
    assert '<th scope="col">better in</th>' in text
    assert '<td class="best"><data value="3">3</data></td>' in text
    assert "a&lt;b" in text
    assert text.count("<td>–</td>") == 2
    assert "<caption>Folds</caption>" in text


def test_no_row_of_a_frame_is_lost():
    with pytest.raises(DataError, match=r"same name.*'net'"):
        tables.frame(pd.DataFrame({"a": [1, 2]}, index=["net", "net"]))


def test_long_names_may_break_after_an_underscore():
    assert "cnn_<wbr>small" in tables.table(["model", "x"], {"cnn_small": [1]})


def test_lists_boxes_and_paragraphs_escape_their_text():
    bad = "<script>&"
    for text in (
        fragments.listing([bad], summary=bad),
        fragments.notice(bad, bold=bad),
        fragments.paragraphs(bad, kind="lead"),
        fragments.fold(bad, ""),
    ):
        assert "<script" not in text
        assert "&lt;script&gt;&amp;" in text
    assert fragments.listing([], summary="none") == ""
    assert fragments.paragraphs("one\n\n\n\ntwo").count("<p>") == 2


def test_a_card_of_an_amount_writes_the_gap_as_finely_as_the_value():
    text = fragments.card("rmse", 2274.93, {"boosting": {"rmse": 2284.64}}, unit="INR")
    assert "9.7 better than" in text
    assert '<span class="unit">INR</span>' in text
