"""Search spaces over the builders: which hyper-parameters, in which ranges, and why these."""

from __future__ import annotations

from typing import Any


def embedding_space(hp: Any) -> dict[str, Any]:
    """The space of a model with embedded ids, such as `models.embedding.embedding_regressor`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.001 to 0.02, logarithmic | 0.008 | below, twelve epochs are too few; above, Adam is unsteady |
    | `dim` | 4, 8, 16, 32 | 16 | the directions in which users differ: beyond them, width only costs |
    | `l2_root` | 0.02 to 2, logarithmic | 0.2 | penalty on the ids' vectors × √(training rows), see below |
    | `dropout` | 0 to 0.5 | 0 | on the ids' vectors: the other way not to learn noise by heart |
    | `hidden` | "32", "64-32", "128-64" | "64-32" | effects of three columns need an MLP, none a wide one |

    A penalty beside a mean loss acts as a prior, whose best weight falls with the number of rows. What is searched is
    the product with the root of the rows: on the synthetic tables of 23,000 and of 440,000 training rows, which are
    unlike also in noise and in users, the best values of that product lie nearest to each other.

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> value: `learning_rate`, `dim`, `l2_root`, `dropout` (numbers) and `hidden` (widths, a tuple).

    Example:
        >>> import keras_tuner
        >>> embedding_space(keras_tuner.HyperParameters())["hidden"]
        (64, 32)
    """
    return {
        "learning_rate": hp.Float("learning_rate", 1e-3, 2e-2, sampling="log", default=8e-3),
        "dim": hp.Choice("dim", [4, 8, 16, 32], default=16),
        "l2_root": hp.Float("l2_root", 0.02, 2.0, sampling="log", default=0.2),
        "dropout": hp.Float("dropout", 0.0, 0.5, default=0.0),
        # KerasTuner's choices are numbers or texts.
        "hidden": tuple(map(int, hp.Choice("hidden", ["32", "64-32", "128-64"], default="64-32").split("-"))),
    }
