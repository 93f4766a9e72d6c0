import numpy as np
import pytest
from sklearn.preprocessing import TargetEncoder as Oracle

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing.encoders import load_encoders, save_encoders
from kmodels.preprocessing.target_encoding import TargetEncoder, cross_fit

RNG = np.random.default_rng(0)
NAMES = np.array(list("abcdefgh"))[RNG.integers(0, 8, 300) * RNG.integers(0, 2, 300)]
TARGET = (RNG.random(300) < 0.7).astype(int)


@pytest.mark.parametrize("smoothing", [0.0, 3.0, 10.0])
def test_smoothed_means_are_scikit_learns(smoothing):
    encoder = TargetEncoder.fit(NAMES, TARGET, smoothing=smoothing)
    oracle = Oracle(smooth=smoothing, target_type="binary").fit(NAMES[:, None], TARGET)
    new = np.array([*"abcdefgh", "unseen"])
    np.testing.assert_allclose(encoder.transform(new)[:, 0], oracle.transform(new[:, None])[:, 0], rtol=1e-6)
    assert encoder.transform(new)[:, 1].tolist() == [*(np.sum(name == NAMES) for name in "abcdefgh"), 0]


def test_empty_and_missing_texts_count_for_the_mean_alone():
    encoder = TargetEncoder.fit(["a", "", None, "a"], [1, 0, 0, 1], smoothing=2)
    assert (encoder.values, encoder.counts, encoder.mean) == (("a",), (2,), 0.5)
    assert encoder.transform(["", None, float("nan"), "a"]).tolist() == [[0.5, 0], [0.5, 0], [0.5, 0], [0.75, 2]]


def test_a_training_row_never_sees_its_own_target():
    before = cross_fit(NAMES, TARGET, seed=3)
    for row in (0, 17, 299):
        changed = TARGET.copy()
        changed[row] = 1 - changed[row]
        assert cross_fit(NAMES, changed, seed=3)[row].tolist() == before[row].tolist()


def test_out_of_fold_encoding_of_noise_tells_nothing():
    """Texts of one row each and a random target: encoded in fold they give the answer away, out of fold not."""
    names = [f"n{i}" for i in range(200)]
    target = RNG.integers(0, 2, 200)
    inside = TargetEncoder.fit(names, target, smoothing=1).transform(names)[:, 0]
    assert np.corrcoef(inside, target)[0, 1] > 0.99
    outside = cross_fit(names, target, smoothing=1)
    # Each fold is encoded as one number, the mean of the others.
    assert len(np.unique(outside[:, 0])) <= 5
    assert (outside[:, 1] == 0).all()


def test_folds_are_those_of_the_seed():
    assert not np.array_equal(cross_fit(NAMES, TARGET, seed=0), cross_fit(NAMES, TARGET, seed=1))
    np.testing.assert_array_equal(cross_fit(NAMES, TARGET, seed=1), cross_fit(NAMES, TARGET, seed=1))


def test_it_is_rebuilt_from_its_fields():
    encoder = TargetEncoder.fit(NAMES, TARGET)
    fields = {"values": [*encoder.values], "means": [*encoder.means], "counts": [*encoder.counts], "mean": encoder.mean}
    assert TargetEncoder.from_dict(fields) == encoder
    for damaged in (
        {**fields, "mean": "x"},
        {**fields, "means": fields["means"][:-1]},
        {**fields, "values": ["b", "a"]},
    ):
        with pytest.raises(DataError):
            TargetEncoder.from_dict(damaged)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: TargetEncoder.fit([], []), DataError, "do not go together"),
        (lambda: TargetEncoder.fit(["a"], [1, 0]), DataError, "do not go together"),
        (lambda: TargetEncoder.fit(["a", 5], [1, 0]), DataError, "row 2: not text.*received 5"),
        (lambda: TargetEncoder.fit(["a"], [1], smoothing=-1), ConfigurationError, "smoothing=-1"),
        (lambda: cross_fit(["a", "b"], [1, 0], folds=3), ConfigurationError, "from 2 to the number of rows, 2"),
        (lambda: cross_fit(["a", "b"], [1, 0], folds=1), ConfigurationError, "folds=1"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_it_is_kept_with_the_other_encoders(tmp_path):
    encoder = TargetEncoder.fit(NAMES, TARGET)
    save_encoders({"director": encoder}, tmp_path / "encoders.json")
    assert load_encoders(tmp_path / "encoders.json") == {"director": encoder}
