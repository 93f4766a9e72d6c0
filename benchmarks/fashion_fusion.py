"""A ResNet-18 fusion classifier on real pictures: what Fashion-MNIST adds to metadata that depend on the class.

    KERAS_BACKEND=torch python benchmarks/fashion_fusion.py DIR [--rows 10000] [--epochs 3]

The pictures are real, the metadata synthetic: eight numbers whose means depend on the class, with noise such that
Bayes' rule on them alone is right for a printed share of the rows. Pictures are padded to 32 x 32 pixels, in three
equal channels.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from kmodels import cli

cli.choose_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from kmodels import models, training  # noqa: E402
from kmodels.datasets import fashion_mnist  # noqa: E402
from kmodels.features import Numeric  # noqa: E402
from kmodels.models.presets import FUSION  # noqa: E402
from kmodels.pipelines import Batches  # noqa: E402

NOISE = 1.15  # of metadata whose class means are drawn from N(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="Fashion-MNIST's four files")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    data = fashion_mnist.load(args.folder)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(10, 8))
    test = 4000
    pictures = np.concatenate([data.train_images[: args.rows], data.test_images[:test]])
    target = np.concatenate([data.train_labels[: args.rows], data.test_labels[:test]])
    metadata = (means[target] + rng.normal(scale=NOISE, size=(len(target), 8))).astype("float32")
    distance = ((metadata[args.rows :, None, :] - means) ** 2).sum(axis=2)
    print(f"metadata alone, Bayes: {(distance.argmin(axis=1) == target[args.rows :]).mean():.4f}")
    padded = np.repeat(np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0))), 3, axis=3)

    features = [Numeric("metadata", 8)]
    pictures = models.image_input((32, 32, 3), mean=0.22, std=0.32)
    variants = {
        "metadata alone": (models.fusion_classifier(None, features, classes=10), 10),
        "picture and metadata": (
            models.fusion_classifier(pictures, features, classes=10, **FUSION["final"]),
            args.epochs,
        ),
    }
    held_out = args.rows - 1000  # the last thousand training rows choose the epoch
    for name, (model, epochs) in variants.items():
        arrays = {"image": padded, "metadata": metadata}
        arrays = {tensor.name: arrays[tensor.name] for tensor in model.inputs}

        def part(low: int, high: int, arrays: dict = arrays, **options: object) -> Batches:
            return Batches({key: values[low:high] for key, values in arrays.items()}, target[low:high], **options)

        training.initialize(model, 0)
        train = part(0, held_out, batch_size=64, shuffle=True, drop_remainder=True)
        rate = keras.optimizers.schedules.CosineDecay(1e-3, epochs * len(train))
        training.compile_model(
            model,
            keras.optimizers.Adam(rate, weight_decay=1e-4),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        training.fit(
            model,
            train,
            part(held_out, args.rows, batch_size=250),
            epochs=epochs,
            folder=Path(tempfile.mkdtemp()),
            callbacks=[training.best_weights("val_loss")],
        )
        said = training.predict(model, part(args.rows, args.rows + test, batch_size=250)).argmax(axis=1)
        print(f"{name}: test accuracy {(said == target[args.rows :]).mean():.4f}")


if __name__ == "__main__":
    main()
