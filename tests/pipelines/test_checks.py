import keras
import numpy as np
import pytest
from scipy import sparse

from kmodels import models, training
from kmodels.errors import DataError
from kmodels.features import Numeric
from kmodels.pipelines import Batches, Lookup
from kmodels.pipelines.checks import check_inputs

ROWS = 6


@pytest.fixture(scope="module")
def model():
    model = models.neumf(3, 4, dim=2, hidden=(4,), user_features=[Numeric("age", 2)])
    training.compile_model(model, keras.optimizers.Adam(1e-2))
    return model


def inputs(**changes):
    base = {
        "user_id": np.array([0, 1, 2, 1, 2, 0], "int32"),
        "item_id": np.array([0, 1, 2, 3, 3, 2], "int32"),
        "age": np.zeros((ROWS, 2), "float32"),
    }
    return {name: values for name, values in (base | changes).items() if values is not None}


TARGET = np.linspace(0, 1, ROWS).astype("float32")
NAN = np.zeros((ROWS, 2), "float32")
NAN[3, 1] = np.nan
WRONG = {
    "missing": (
        {"age": None},
        "not those of the model; expected .*'age'.*received .'item_id', 'user_id'",
    ),
    "extra": ({"height": np.zeros(ROWS)}, "the inputs are not those of the model"),
    "id as large as the table": (
        {"user_id": np.array([0, 1, 2, 3, 0, 0], "int32")},
        "row 4, column 'user_id': id out",
    ),
    "id -1": ({"item_id": np.array([-1, 1, 2, 3, 0, 0], "int32")}, "row 1, .*expected 0 to 3; received -1"),
    "id as float": ({"user_id": np.zeros(ROWS)}, "column 'user_id': wrong shape or dtype; expected int32.*float64"),
    "text": ({"age": np.full((ROWS, 2), "x")}, "column 'age': wrong shape or dtype"),
    "flat": ({"age": np.zeros(ROWS, "float32")}, r"expected float32 of shape \(batch, 2\); received 'float32 of shape"),
    "too wide": ({"age": np.zeros((ROWS, 3), "float32")}, "column 'age': wrong shape or dtype"),
    "nan": ({"age": NAN}, "row 4, column 'age': not a finite number"),
    "infinity": ({"age": np.full((ROWS, 2), np.inf)}, "row 1, column 'age': not a finite number"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_data_that_the_model_cannot_take_is_refused_before_it_trains(model, changes, message, tmp_path):
    wrong, right = Batches(inputs(**changes), TARGET, batch_size=2), Batches(inputs(), TARGET, batch_size=2)
    for train, validation in ((wrong, right), (right, wrong)):
        with pytest.raises(DataError, match=message):
            training.fit(model, train, validation, epochs=1, folder=tmp_path)
    with pytest.raises(DataError, match=message):
        training.predict(model, wrong)
    # An exception inside a compiled step would have destroyed the model on JAX.
    history = training.fit(model, right, right, epochs=1, folder=tmp_path)
    assert np.isfinite(history["loss"]).all()


def test_a_target_that_is_no_number_is_refused(model):
    target = TARGET.copy()
    target[2] = np.nan
    with pytest.raises(DataError, match="row 3, column 'target': not a finite number"):
        check_inputs(model, Batches(inputs(), target))


def test_an_integer_width_or_bool_is_no_reason_to_refuse(model):
    check_inputs(model, Batches(inputs(user_id=np.zeros(ROWS, "int64"), age=np.zeros((ROWS, 2), bool))))


def test_inputs_of_a_part_are_checked_for_name_shape_and_dtype(model):
    part = Lookup(np.zeros(ROWS, int), {"age": np.zeros((1, 2), "float32")})
    check_inputs(model, Batches(inputs(age=None), parts=[part]))
    with pytest.raises(DataError, match="wrong shape"):
        check_inputs(model, Batches(inputs(age=None), parts=[Lookup(np.zeros(ROWS, int), {"age": np.zeros((1, 1))})]))


def test_a_sparse_array_and_a_target_made_per_batch_are_checked_too():
    model = models.ease(3)
    history = np.array([[0, 1, 2], [0, 0, 0], [0, 3, np.inf]], "float32")
    wrong, right = sparse.csr_array(history), sparse.csr_array(np.minimum(history, 9))
    for columns, target, column in (
        ({"history": wrong}, right, "history"),
        ({"history": right}, wrong, "target"),
        ({"history": right}, lambda rows: history[rows], "target"),
    ):
        with pytest.raises(DataError, match=f"row 3, column '{column}': not a finite number"):
            check_inputs(model, Batches(columns, target))
    with pytest.raises(DataError, match=r"expected float32 of shape \(batch, 3\); received .* \(3, 2\)"):
        check_inputs(model, Batches({"history": right[:, :2]}, right))
