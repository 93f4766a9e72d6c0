import copy

import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import record, run_folder

TIMING = {"load_s": 0.1, "prepare_s": 0.2, "fit_s": 3.0, "epochs": 5, "samples_per_s": 9.0, "evaluate_s": 0.4}


def variant(accuracy, parameters=1000, **more):
    return {
        "model": {"name": "cnn", "parameters": parameters},
        "test": {"accuracy": accuracy},
        "validation": {"accuracy": accuracy},
        "timing": TIMING,
        **more,
    }


RECORD = {
    "recipe": "fashion_mnist",
    "backend": "jax",
    "data": {"source": "sample", "rows": 100, "sha256": "50d2"},
    "seed": 1,
    "baselines": {"majority": {"accuracy": 0.1}},
    "versions": {"keras": "3.15.1"},
    "variants": {"small": variant(0.9), "wide": variant(0.92, 5000, cost={"latency_ms": 1.5}, train={"loss": 0.1})},
    "best": "wide",
    "choice": "wide was chosen.",
    "warnings": ["Columns of the future were used."],
}


def test_a_record_of_variants_is_written_and_read_back(tmp_path):
    run_folder.write_metrics(tmp_path, RECORD)
    assert run_folder.read_metrics(tmp_path) == RECORD


@pytest.mark.parametrize("key", [*record.COMMON, "best"])
def test_each_common_key_is_required(key):
    broken = {name: value for name, value in RECORD.items() if name != key}
    with pytest.raises(DataError, match=key):
        record.check_record(broken)


@pytest.mark.parametrize(
    ("key", "inner"), [(key, inner) for key, all in record.VARIANT.items() for inner in (None, *all)]
)
def test_each_key_of_a_variant_is_required_and_named_with_it(key, inner):
    broken = copy.deepcopy(RECORD)
    small = broken["variants"]["small"]
    del (small if inner is None else small[key])[key if inner is None else inner]
    with pytest.raises(DataError, match=rf"variants\.small\.{key}" + (f".{inner}" if inner else "")):
        record.check_record(broken)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"variants": {}}, "'variants': no variant"),
        ({"variants": ["small"]}, "'variants': not a mapping"),
        ({"variants": {"small": 0.9}}, r"'variants\.small': not a mapping"),
        ({"best": "huge"}, "'best': names no variant; expected one of the variants: small, wide; received 'huge'"),
        ({"choice": 3}, "'choice': not a text"),
        ({"warnings": "one"}, "'warnings': not a list of texts"),
        ({"baselines": {"small": {"accuracy": 0.5}}}, r"'variants\.small': a variant and a baseline share a name"),
        ({"variants": {"wide": variant("good")}}, r"'variants\.wide\.test\.accuracy': not a number"),
        ({"variants": {"wide": variant(1, cost={"latency_ms": "fast"})}}, r"wide\.cost\.latency_ms': not a number"),
        ({"variants": {"wide": variant(1, train=[1])}}, r"'variants\.wide\.train': not a mapping"),
        ({"variants": {"wide": variant(1, warnings=[1])}}, r"'variants\.wide\.warnings': not a list"),
        ({"variants": {"wide": variant(1, baselines=[1])}}, r"'variants\.wide\.baselines': not a mapping"),
    ],
)
def test_what_does_not_fit_is_refused(change, complaint):
    with pytest.raises(DataError, match=complaint):
        record.check_record({**RECORD, **change})


def test_a_variant_alone_is_a_record_of_one_model():
    alone = record.variant_record(RECORD)
    record.check_record(alone)
    assert set(alone) == {*record.REQUIRED, "cost", "train", "warnings"}
    assert alone["model"]["parameters"] == 5000
    assert record.variant_record(RECORD, "small")["test"] == {"accuracy": 0.9}
    assert record.variant_record(alone) == alone


def test_a_variants_own_keys_and_warnings_come_on_top():
    both = {**RECORD, "variants": {"wide": variant(0.9, seed=7, warnings=["It learned nothing."])}}
    alone = record.variant_record(both)
    assert alone["seed"] == 7
    assert alone["warnings"] == ["Columns of the future were used.", "It learned nothing."]


def test_a_variant_that_is_not_there():
    with pytest.raises(ConfigurationError, match="no variant 'huge'; the record has small, wide"):
        record.variant_record(RECORD, "huge")
    with pytest.raises(ConfigurationError, match="no variants"):
        record.variant_record(record.variant_record(RECORD), "wide")


def test_the_unit_is_the_datas_own():
    assert record.unit_of(RECORD) == ""
    assert record.unit_of({"data": {"unit": "INR", "rating_counts": {}}}) == "INR"
    assert record.unit_of({"data": {"rating_counts": {"5": 1}}}) == "stars"


def test_costs_without_a_value_are_left_out():
    slow = variant(0.9, cost={"latency_ms": float("nan"), "file_kib": 12.5})
    slow["timing"] = {**TIMING, "fit_s": None}
    assert record.costs_of(slow) == {"parameters": 1000, "file_kib": 12.5}
