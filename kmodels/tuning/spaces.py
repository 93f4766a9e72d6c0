"""Search spaces over the builders: which hyper-parameters, in which ranges, and why these."""

from __future__ import annotations

from typing import Any


def embedding_space(hp: Any) -> dict[str, Any]:
    """The space of a model with embedded ids, such as `models.embedding.embedding_regressor`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.001 to 0.02, logarithmic | 0.008 | below, twelve epochs are too few; above, Adam is unsteady |
    | `dim` | 4, 8, 16, 32 | 16 | the directions in which users differ: beyond them, width only costs |
    | `l2_rows` | 5 to 500, logarithmic | 100 | penalty on the ids' vectors × training rows, see below |
    | `dropout` | 0 to 0.5 | 0 | on the ids' vectors: the other way not to learn noise by heart |
    | `hidden` | "32", "64-32", "128-64" | "64-32" | effects of three columns need an MLP, none a wide one |

    A penalty beside a mean squared error acts as a prior: its best value is the noise's variance ÷ (rows · variance of
    the vectors), which falls with the number of rows. What is searched is therefore the product with the rows, whose
    best value moves little from table to table.

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> value: `learning_rate`, `dim`, `l2_rows`, `dropout` (numbers) and `hidden` (widths, a tuple).

    Example:
        >>> import keras_tuner
        >>> embedding_space(keras_tuner.HyperParameters())["hidden"]
        (64, 32)
    """
    return {
        "learning_rate": hp.Float("learning_rate", 1e-3, 2e-2, sampling="log", default=8e-3),
        "dim": hp.Choice("dim", [4, 8, 16, 32], default=16),
        "l2_rows": hp.Float("l2_rows", 5.0, 500.0, sampling="log", default=100.0),
        "dropout": hp.Float("dropout", 0.0, 0.5, default=0.0),
        # KerasTuner's choices are numbers or texts.
        "hidden": tuple(map(int, hp.Choice("hidden", ["32", "64-32", "128-64"], default="64-32").split("-"))),
    }
