import keras
import pytest

from kmodels import models

HELPERS = {"Embedded", "augment", "image_augmentation", "image_input", "mirrored", "presets"}


@pytest.mark.first_backend
def test_every_builder_is_exported(import_scripts):
    (script,) = import_scripts("export")
    built = {name: build() for name, build in script.families().items()}
    assert {name.partition(",")[0] for name in built} == set(models.__all__) - HELPERS
    assert all(isinstance(model, keras.Model) for model in built.values())


@pytest.mark.first_backend
def test_the_table_has_a_line_for_each_export_and_the_reason_of_none(import_scripts):
    (script,) = import_scripts("export")
    lines = script.table(
        [
            {"family": "net", "format": "onnx", "torch": 2.04e-7, "jax": 0.0, "bytes": 3 << 20, "milliseconds": 0.5},
            {"family": "net", "format": "litert", "error": "no such operation"},
        ],
        ["torch", "jax"],
    )
    assert lines[2:] == [
        "| net | onnx | 2e-07 | 0e+00 | 3.00 | 0.5000 |",
        "| net | litert | — | — | — | — |",
        "net, litert: no such operation",
    ]
    assert {line.count("|") for line in lines[:4]} == {7}
