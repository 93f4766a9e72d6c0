"""Two small networks with a batch, and their structure for the NumPy reference."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from kmodels import models, training
from kmodels.features import Categorical, History, MultiHot, Numeric
from kmodels.pipelines import Histories
from kmodels.pipelines.histories import history_table
from tests.reference.neumf import Side

USERS, ITEMS, ROWS = 9, 7, 64


def enhanced():
    reference = {
        "user": Side(numeric=["gender", "age", "occupation"], apart=True),
        "item": Side(apart=True),
        "l2": 5e-6,
    }
    model = models.neumf(
        USERS,
        ITEMS,
        user_features=[Numeric("gender"), Numeric("age"), Numeric("occupation")],
        item_features=[MultiHot("genres", 5)],
        **models.presets.NEUMF["enhanced"],
    )
    return model, reference


def history():
    model = models.neumf(
        USERS,
        ITEMS,
        user_features=[Categorical("occupation_id", 4)],
        item_features=[MultiHot("genres", 5)],
        **models.presets.NEUMF["history"],
        mean=0.7,
    )
    return model, {"user": Side(), "item": Side(), "product": True, "l2": 1e-4}


def session():
    model = models.neumf(
        USERS,
        ITEMS,
        item_features=[Numeric("length")],
        context_features=[Numeric("session", 3), Categorical("hour", 4)],
        **models.presets.NEUMF["session"],
        mean=0.7,
    )
    return model, {"user": Side(), "item": Side(["length"]), "context": ["session"], "product": True, "l2": 1e-4}


NETWORKS = {"enhanced": enhanced, "history": history, "session": session}


@pytest.fixture(params=NETWORKS)
def network(request):
    """A model with set weights, and the structure by which the reference knows it."""
    model, reference = NETWORKS[request.param]()
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # the reference has none
    training.initialize(model, seed=3)
    rng = np.random.default_rng(4)
    for layer in model.layers:
        if layer.name in ("user_bias", "item_bias") or layer.name.startswith("user_context_"):
            # They start at nothing, where a reference that forgot them would go unseen.
            layer.set_weights([rng.normal(0, 0.01, weight.shape) for weight in layer.weights])
    return model, reference


@pytest.fixture
def networks() -> dict[str, Callable]:
    return NETWORKS


@pytest.fixture
def batch() -> Callable:
    return _batch


@pytest.fixture
def named_weights() -> Callable:
    return _named_weights


def _batch(model: keras.Model, seed: int = 0):
    """Ids that repeat many times, and numbers of ordinary size."""
    rng = np.random.default_rng(seed)
    sizes = {"user_id": USERS, "item_id": ITEMS, "occupation_id": 4, "hour": 4}
    inputs = {}
    for tensor in model.inputs:
        if tensor.name in sizes:
            inputs[tensor.name] = rng.integers(0, sizes[tensor.name], ROWS).astype("int32")
        elif "history" not in tensor.name:
            inputs[tensor.name] = rng.normal(size=(ROWS, tensor.shape[1])).astype("float32")
    if "user_history" in {tensor.name for tensor in model.inputs}:
        inputs |= _histories(inputs["user_id"], inputs["item_id"], rng)
    return inputs, rng.uniform(0.2, 1, ROWS).astype("float32")


def _histories(users: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of most pairs of known users and items, with them many of the batch's own."""
    pairs = np.argwhere(rng.random((USERS, ITEMS)) < 0.9)
    values, made = rng.normal(size=len(pairs)), {}
    for name, owners, members, n, size in (
        ("user_history", 0, 1, USERS, ITEMS),
        ("item_history", 1, 0, ITEMS, USERS),
    ):
        table = history_table(pairs[:, owners], pairs[:, members], values, n_owners=n, n_members=size)
        ids = (users, items)
        made |= Histories(History(name, size, n), table, ids[owners], ids[members])(np.arange(ROWS))
        # Of any size, that the units of the MLP differ from row to row.
        made[f"{name}_weights"] = rng.normal(size=(ROWS, 3)).astype("float32")
    return made


def _named_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """ "layer/weight" -> trainable weight."""
    return {
        f"{layer.name}/{weight.name}": keras.ops.convert_to_numpy(weight)
        for layer in model.layers
        for weight in layer.trainable_weights
    }
