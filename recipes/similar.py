"""Similar: who is most like a user (a product, a film), by the vectors of a model that a recipe has trained.

    python recipes/similar.py runs/purchases user_id 1000001 --n 5
    python recipes/similar.py runs/purchases product_id P00069042
    python recipes/similar.py runs/movielens item_id 50

Reads `encoders.json` of the run folder and the vectors: `vectors.npz` where the recipe left one, for models whose
vectors are more than a table's rows, else a table of `model.keras`. It takes seconds, most of them to start Keras.
"""

from kmodels import cli

BACKEND = cli.choose_backend()

import argparse
from pathlib import Path

import numpy as np

from kmodels import files, serving
from kmodels.errors import ConfigurationError
from kmodels.preprocessing import Vocabulary, load_encoders
from kmodels.serving.predictor import load_model


def main(args: argparse.Namespace) -> None:
    known = load_encoders(args.run / "encoders.json")
    ids = {name: it for name, it in known.items() if isinstance(it, Vocabulary)}
    if args.column not in ids:
        raise ConfigurationError(f"the run has the ids {', '.join(ids)}. Received: {args.column}")
    if not (args.run / "model.keras").is_file():
        raise ConfigurationError(f"{args.run} holds no finished run: there is no model.keras in it")
    vocabulary = ids[args.column]
    value = int(args.value) if isinstance(vocabulary.values[0], int) and args.value.isdigit() else args.value
    found = serving.similar(vectors(args.run, args.column), vocabulary, [value], args.n)
    cli.show(found.drop(columns="value").to_string(index=False, float_format="{:.4f}".format))


def vectors(run: Path, column: str) -> np.ndarray:
    if (kept := run / "vectors.npz").is_file() and column in (tables := files.read_arrays(kept)):
        return tables[column]
    model = load_model(run / "model.keras")
    # A table bears the name of its input, or in recommenders that of what it holds: user_embedding.
    layer = f"{column}_embedding"
    if layer not in {layer.name for layer in model.layers}:
        layer = f"{column.removesuffix('_id')}_embedding"
    return serving.embedding_table(model, layer)


if __name__ == "__main__":
    flags = argparse.ArgumentParser(prog="similar.py", description=__doc__.splitlines()[0])
    flags.add_argument("run", type=Path, help="run folder of a recipe that trained embeddings")
    flags.add_argument("column", help="which ids: user_id, product_id, item_id")
    flags.add_argument("value", help="the one asked for, as the data names it")
    flags.add_argument("--n", type=int, default=10, help="how many to find; default: 10")
    flags.set_defaults(resume=True)  # nothing to go on with after Ctrl-C
    cli.run(main, flags.parse_args())
