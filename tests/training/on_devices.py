"""Two trainings of 50 steps, which `test_distribution` runs on one device and, by this file, on several.

    KERAS_BACKEND=jax python -m tests.training.on_devices --devices 2 --kinds dense,histories --out FOLDER

Writes what each leaves to FOLDER/KIND0.npz, in process 1 to KIND1.npz: weights, predictions and the history. The tables
of a kind that ends in "_sharded" are split.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

ROWS, VALIDATION, BATCH, EPOCHS = 800, 39, 32, 2


def train(kind, folder, *, devices=1, epochs=EPOCHS, resume=False, callbacks=()):
    import keras
    import numpy as np

    from kmodels import models, training
    from kmodels.features import History
    from kmodels.pipelines import Batches, Histories
    from kmodels.pipelines.histories import history_table

    rng = np.random.default_rng(0)
    rows = ROWS + VALIDATION
    numbers = rng.normal(size=(rows, 5)).astype("float32")
    users, items = (rng.integers(0, size, rows).astype("int32") for size in (10, 13))
    target = (numbers[:, 0] + 0.2 * users - 0.1 * items).astype("float32")
    pairs = np.unique(np.stack([users, items]), axis=1)
    table = history_table(*pairs, np.linspace(-1, 1, pairs.shape[1]), n_owners=10, n_members=13)
    seen = History("seen", 13, owners=10)
    l2 = keras.regularizers.L2(1e-3)

    def batches(part, **options):
        if kind == "dense":
            return Batches({"numbers": numbers[part]}, target[part], **options)
        ids = {"user_id": users[part], "item_id": items[part]}
        return Batches(ids, target[part], parts=[Histories(seen, table, *ids.values())], **options)

    with training.distribute(devices, shard_tables=kind.endswith("_sharded")):
        if kind == "dense":
            x = keras.Input((5,), name="numbers")
            hidden = keras.layers.Dense(8, "tanh", kernel_regularizer=l2, name="hidden")(x)
            model = keras.Model({"numbers": x}, keras.layers.Dense(1, name="output")(hidden))
        else:
            model = models.neumf(10, 13, dim=4, hidden=(8,), product=True, l2=1e-3, user_features=[seen])
        training.initialize(model, 3)
        # Adam would not notice gradients that are summed instead of averaged.
        optimizer = keras.optimizers.SGD(0.02, momentum=0.9) if kind == "dense" else keras.optimizers.Adam(0.01)
        training.compile_model(model, optimizer)
        first, last = slice(0, ROWS), slice(ROWS, rows)
        history = training.fit(
            model,
            batches(first, batch_size=BATCH, shuffle=True, seed=1),
            batches(last, batch_size=BATCH // 2),
            epochs=epochs,
            folder=folder,
            callbacks=[training.best_weights("val_rmse"), *callbacks],
            resume=resume,
        )
        predicted = training.predict(model, batches(last, batch_size=BATCH // 2))
    return {
        "history": history.drop(columns="seconds").to_numpy(),
        "predicted": predicted,
        **{f"weight_{i}": weight for i, weight in enumerate(model.get_weights())},
    }, model


def _main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int)
    parser.add_argument("--kinds", type=lambda text: text.split(","))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--killed", help="kind in which process 1 kills itself at the end of the first epoch")
    args = parser.parse_args()
    if os.environ["KERAS_BACKEND"] == "tensorflow" and "TF_CONFIG" not in os.environ:
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    import keras
    import numpy as np

    killed = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: os.kill(os.getpid(), signal.SIGKILL))
    for kind in args.kinds:
        callbacks = [killed] if (args.killed, args.process) == (kind, 1) else []
        left, model = train(kind, args.out / kind, devices=args.devices, resume=args.resume, callbacks=callbacks)
        if kind.endswith("_sharded"):
            tables = [each for each in (*model.variables, *model.optimizer.variables) if "embeddings" in each.path]
            left["shares"] = np.array(
                [table.value.addressable_shards[0].data.size / table.value.size for table in tables]
            )
        np.savez(args.out / f"{kind}{args.process}.npz", **left)


if __name__ == "__main__":
    from kmodels.errors import KModelsError

    try:
        _main()
    except KModelsError as error:
        sys.exit(f"error: {error}")
