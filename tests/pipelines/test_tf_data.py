import importlib.util

import keras
import numpy as np
import pytest

from kmodels import backend, models, training
from kmodels.errors import ConfigurationError
from kmodels.pipelines import Batches, tf_data

needs_tensorflow = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow not installed")
RNG = np.random.default_rng(0)
INPUTS = {"user_id": RNG.integers(0, 4, 23).astype("int32"), "item_id": RNG.integers(0, 5, 23).astype("int32")}
TARGET = RNG.uniform(size=23).astype("float32")


@needs_tensorflow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("batch_size", "drop_remainder"), [(5, False), (5, True), (1, False), (23, False), (40, False), (1, True)]
)
def test_the_same_batches_in_the_same_order_over_two_epochs(weighted, large, batch_size, drop_remainder):
    width = 300_000 if large else 1  # more than a megabyte: not several at a time
    settings = {
        "sample_weight": TARGET if weighted else None,
        "parts": [lambda rows: {"double": np.tile((2.0 * rows[:, None]).astype("float32"), width)}],
        "batch_size": batch_size,
        "drop_remainder": drop_remainder,
    }
    one, other = (Batches(INPUTS, TARGET, **settings, shuffle=True, seed=4) for _ in range(2))
    dataset = tf_data(other)
    assert dataset.cardinality() == len(one)
    equal = {len(one[i][1]) for i in range(len(one))} == {batch_size}
    assert dataset.element_spec[1].shape == [batch_size if equal else None]
    for epoch in range(2):
        one.set_epoch(epoch)
        dataset.set_epoch(epoch)
        served = list(dataset.as_numpy_iterator())
        assert len(served) == len(one)
        for i, batch in enumerate(served):
            assert len(batch) == len(one[i])
            assert set(batch[0]) == set(one[i][0])
            for name, values in one[i][0].items():
                np.testing.assert_array_equal(batch[0][name], values)
                assert batch[0][name].dtype == values.dtype
            for got, values in zip(batch[1:], one[i][1:], strict=True):
                np.testing.assert_array_equal(got, values)


@needs_tensorflow
def test_both_engines_train_the_same_model(tmp_path):
    results = []
    for engine in training.ENGINES:
        model = models.neumf(4, 5, dim=2, hidden=(4,), dropout=0.2)
        training.initialize(model, 1)
        training.compile_model(model, keras.optimizers.Adam(1e-2))
        train = Batches(INPUTS, TARGET, batch_size=5, shuffle=True)
        validation = Batches(INPUTS, TARGET)
        history = training.fit(model, train, validation, epochs=2, folder=tmp_path, engine=engine)
        results.append((history.drop(columns="seconds").to_numpy(), training.predict(model, validation)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("background", [False, True])
def test_tensorflow_gets_tf_data_unless_a_part_works_in_the_background(background, backend_name, monkeypatch, tmp_path):
    class Part:
        def __call__(self, rows):
            return {}

        def begin(self, rows):
            return dict

    served = []
    monkeypatch.setattr(training.fitting, "tf_data", lambda batches: served.append(batches) or batches)
    model = models.neumf(4, 5, dim=2, hidden=(4,))
    training.compile_model(model, keras.optimizers.Adam(1e-2))
    train = Batches(INPUTS, TARGET, batch_size=5, parts=[Part()] if background else [])
    validation = Batches(INPUTS, TARGET)
    training.fit(model, train, validation, epochs=1, folder=tmp_path)
    assert served == ([train, validation] if backend_name == "tensorflow" and not background else [])


def test_without_tensorflow_the_error_says_what_to_do(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        backend.running.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "tensorflow" else find(name, *rest),
    )
    with pytest.raises(ConfigurationError, match=r"install it \(pip install -e '.\[tensorflow\]'\)"):
        tf_data(Batches(INPUTS, TARGET))
