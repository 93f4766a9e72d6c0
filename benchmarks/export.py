"""Exports of every family of models: largest difference, size and time of a row, by format and backend trained on.

    python benchmarks/export.py                                   all families, formats and backends
    python benchmarks/export.py --families sasrec --formats onnx  some of them

Models have random weights and the sizes of a small data set. Each is saved once, loaded on each backend to predict 256
rows, and exported by `serving.export`, which does the same from any backend; a process without Keras then serves these
rows. The difference is that from each backend's predictions, the time that of the quickest of 20 calls. What cannot be
exported has "—" and its reason below the table.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FORMATS = ("onnx", "saved_model", "litert")
BACKENDS = ("torch", "jax", "tensorflow")
USERS, ITEMS, ROWS, REPEATS = 944, 1683, 256, 20


def families() -> dict:
    """Name -> a function that builds the model."""
    from kmodels import models
    from kmodels.features import Bag, Categorical, MultiHot, Numeric
    from kmodels.models import presets
    from kmodels.models.embedding import Embedded
    from kmodels.models.two_tower import towers

    table = [Numeric("numbers", 3), Categorical("city", 50), MultiHot("tags", 7)]
    edges = [np.linspace(-2, 2, 17)] * 3
    ids = [Embedded(Categorical(name, size)) for name, size in (("user_id", USERS), ("item_id", ITEMS))]
    augmented = {"augmentation": models.image_augmentation()}
    return {
        "dense_classifier": lambda: models.dense_classifier(table[::2], 3, **presets.DENSE["batchnorm"]),
        "embedding_regressor": lambda: models.embedding_regressor(table, embeddings=ids),
        "embedding_classifier": lambda: models.embedding_classifier([*table, Bag("seen", ITEMS, 12)], 4),
        "tabular_regressor": lambda: models.tabular_regressor(table, edges=edges, frequencies=8),
        "tabular_classifier": lambda: models.tabular_classifier(table, 3, edges=edges),
        "cnn": lambda: models.cnn(**presets.CNN["residual"]),
        "resnet": lambda: models.resnet(**presets.RESNET[18], classes=10, input_shape=(64, 64, 3)),
        "fusion_classifier": lambda: models.fusion_classifier(
            models.image_input((64, 64, 3), **augmented), table[:2], **presets.FUSION["compact"]
        ),
        "neumf": lambda: models.neumf(USERS, ITEMS, **presets.NEUMF["published"]),
        "neumf, histories": lambda: models.neumf(USERS, ITEMS, **presets.NEUMF["history"]),
        "matrix_factorization": lambda: models.matrix_factorization(
            USERS, ITEMS, **presets.MATRIX_FACTORIZATION["c_wide"]
        ),
        "two_tower": lambda: models.two_tower(USERS, ITEMS, hidden=(64,)),
        "two_tower, items": lambda: towers(models.two_tower(USERS, ITEMS, hidden=(64,)))[1],
        "sasrec": lambda: models.sasrec(ITEMS, 50),
        "item_autoencoder": lambda: models.item_autoencoder(ITEMS),
        "ease": lambda: models.ease(ITEMS),
    }


def make(folder: Path, names: list[str]) -> None:
    """Saves the models, and a batch for each."""
    from kmodels import files, training
    from kmodels.serving.export import random_inputs

    for number, name in enumerate(names):
        model = training.initialize(families()[name]())
        rng = np.random.default_rng(0)
        for weight in model.trainable_weights:
            if not np.any(np.asarray(weight)):  # some start at zeros, which would hide what they do
                weight.assign(rng.normal(0, 0.1, weight.shape))
        training.save(model, folder / f"{number}.keras")
        files.write_arrays(folder / f"{number}.npz", {f"0/{key}": x for key, x in random_inputs(model, ROWS).items()})


def predict(folder: Path, names: list[str]) -> None:
    """Writes what this backend predicts of each batch."""
    import keras

    for number in range(len(names)):
        model = keras.saving.load_model(folder / f"{number}.keras", compile=False)
        batch = {key.removeprefix("0/"): x for key, x in np.load(folder / f"{number}.npz").items()}
        given = keras.tree.map_structure(lambda tensor, batch=batch: batch[tensor.name], model.input)
        np.save(folder / f"{number}.{keras.backend.backend()}.npy", model.predict_on_batch(given))


def measure(folder: Path, names: list[str], forms: list[str], backends: list[str]) -> None:
    """Prints a line of JSON for each family and format: differences, bytes and milliseconds of a row, or the error."""
    import keras

    from kmodels import backend, serving
    from kmodels.errors import KModelsError

    for number, name in enumerate(names):
        model = keras.saving.load_model(folder / f"{number}.keras", compile=False)
        expected = {each: np.load(folder / f"{number}.{each}.npy") for each in backends}
        for form in forms:
            path, found = folder / form, {"family": name, "format": form}
            try:
                serving.export(model, path, form)
                served = backend.serve_exported(form, path, folder / f"{number}.npz", repeats=REPEATS)
                size = sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file())
                found |= {each: float(np.abs(served["0"] - y).max()) for each, y in expected.items()}
                found |= {"bytes": size, "milliseconds": 1000 * float(served["seconds"].min()) / ROWS}
            except KModelsError as error:
                found["error"] = str(error)
            print(json.dumps(found), flush=True)


def table(found: list[dict], backends: list[str]) -> list[str]:
    """The lines of a Markdown table, and the reasons of what is missing."""
    lines = [f"| family | format | {' | '.join(backends)} | MiB | ms a row |", "|---" * (4 + len(backends)) + "|"]
    for each in found:
        cells = ["—"] * (2 + len(backends))
        if "error" not in each:
            cells = [f"{each[backend]:.0e}" for backend in backends]
            cells += [f"{each['bytes'] / 2**20:.2f}", f"{each['milliseconds']:.4f}"]
        lines.append(f"| {each['family']} | {each['format']} | {' | '.join(cells)} |")
    return lines + [f"{each['family']}, {each['format']}: {each['error']}" for each in found if "error" in each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=installed)
    parser.add_argument("--child", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        step, folder = args.child[0], Path(args.child[1])
        names = args.families or list(families())
        if step == "make":
            make(folder, names)
        elif step == "predict":
            predict(folder, names)
        else:
            measure(folder, names, args.formats, args.backends)
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        first = args.backends[0]
        for step, backend in (("make", first), *(("predict", each) for each in args.backends), ("measure", first)):
            command = [sys.executable, __file__, *sys.argv[1:], "--child", step, folder]
            environment = os.environ | {"KERAS_BACKEND": backend}
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout:
                    if line.startswith("{"):
                        found.append(json.loads(line))
                        print(line, end="", file=sys.stderr, flush=True)
            if process.returncode:
                raise SystemExit(process.returncode)
    print("\n".join(table(found, args.backends)))


if __name__ == "__main__":
    main()
