import numpy as np
import pandas as pd

from kmodels.preprocessing import Category, Number, TableEncoder, TargetMean, encode_table


def test_training_rows_do_not_see_their_own_target():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"maker": rng.integers(0, 30, 200).astype(str), "rooms": rng.normal(size=200)})
    target, train = rng.random(200), np.arange(150)
    columns = {"maker": TargetMean(), "rooms": Number(), "kind": Category(of="maker")}
    found = encode_table(table, train, columns=columns, target=target)
    encoder = TableEncoder.fit(table[:150], columns=columns, target=target[:150])
    assert found.encoder == encoder
    own, later = encoder.transform(table[:150], target=target[:150]), encoder.transform(table[150:])
    for name, array in found.inputs.items():
        np.testing.assert_array_equal(array[:150], own[name])
        np.testing.assert_array_equal(array[150:], later[name])
    pd.testing.assert_frame_equal(found.frame[:150], encoder.frame(table[:150], target=target[:150]))
    pd.testing.assert_frame_equal(found.frame[150:], encoder.frame(table[150:]))
    assert not np.array_equal(found.inputs["numbers"][:150], encoder.transform(table[:150])["numbers"])
