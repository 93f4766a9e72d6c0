from pathlib import Path

import numpy as np
import pytest

from kmodels.errors import DataError
from kmodels.report import record

TIMING = record.Timing(0.1, 0.2, 3.0, 5, 1000.0, 0.3)
NET = record.VariantRecord("net", 900, {"rmse": np.float32(0.5)}, {"rmse": float("nan")}, TIMING)
FACTS = {"source": Path("own.csv"), "rows": np.int64(100), "sha256": "50d2"}


def run_record(**given):
    own = {"model": NET} if "variants" not in given else {}
    facts = {"data": FACTS, "baselines": {"mean": {"rmse": 1}}, "versions": {"keras": "3.15"}}
    return record.RunRecord("ratings", "jax", 0, **facts | own | given)


def test_a_record_of_one_model_has_the_keys_of_metrics_json():
    found = run_record(more={"refit": {"epochs": 3}}).to_dict()
    assert list(found)[:4] == ["recipe", "backend", "data", "seed"]
    assert found["model"] == {"name": "net", "parameters": 900}
    assert found["test"] == {"rmse": 0.5}
    assert found["validation"] == {"rmse": None}
    assert found["timing"]["samples_per_s"] == 1000.0
    assert found["data"] == {"source": "own.csv", "rows": 100, "sha256": "50d2"}
    assert (found["refit"], found["warnings"]) == ({"epochs": 3}, [])


def test_a_record_of_variants_names_the_best():
    found = run_record(variants={"a": NET, "b": NET}, best="b", choice="b is cheap.")
    assert found.chosen is found.variants["b"]
    assert list(found.models) == ["a", "b"]
    assert found.to_dict()["variants"]["a"]["model"]["parameters"] == 900
    assert (found.to_dict()["best"], found.to_dict()["choice"]) == ("b", "b is cheap.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": {"source": "x"}}, "rows, sha256"),
        ({"baselines": {"mean": {"rmse": "good"}}}, "baselines.mean.rmse"),
        ({"warnings": "one text"}, "warnings"),
        ({"model": None}, "one model or of variants"),
        ({"model": NET, "variants": {"a": NET}, "best": "a"}, "one model or of variants"),
        ({"variants": {"a": NET}, "best": "b"}, "expected one of the variants: a"),
        ({"variants": {"mean": NET}, "best": "mean"}, "share a name"),
    ],
)
def test_a_wrong_record_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        run_record(**given)


def test_a_metric_that_is_no_number_is_refused():
    with pytest.raises(DataError, match=r"net\.cost\.latency_ms"):
        record.VariantRecord("net", 900, {}, {}, TIMING, cost={"latency_ms": "slow"})


def test_numpy_s_values_tuples_and_paths_become_json_s():
    value = {"rmse": np.float32(0.5), "r2": float("inf"), "hidden": (64, 32), "curve": np.arange(2), 3: Path("a")}
    assert record.plain(value, "x") == {"rmse": 0.5, "r2": None, "hidden": [64, 32], "curve": [0, 1], "3": "a"}
    with pytest.raises(DataError, match=r"x\.a\.b"):
        record.plain({"a": {"b": object()}}, "x")
