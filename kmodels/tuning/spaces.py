"""Search spaces over the builders: which hyper-parameters, in which ranges, and why these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _widths(hp: Any, choices: list[str], default: str) -> tuple[int, ...]:
    # KerasTuner's choices are numbers or texts.
    return tuple(map(int, hp.Choice("hidden", choices, default=default).split("-")))


def embedding_space(hp: Any) -> dict[str, Any]:
    """The space of a model with embedded ids, such as `models.embedding.embedding_regressor`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.001 to 0.02, logarithmic | 0.008 | below, twelve epochs are too few; above, Adam is unsteady |
    | `dim` | 4, 8, 16, 32 | 16 | the directions in which users differ: beyond them, width only costs |
    | `l2_root` | 0.02 to 2, logarithmic | 0.2 | penalty on the ids' vectors × √(training rows), see below |
    | `dropout` | 0 to 0.5 | 0 | on the ids' vectors: the other way not to learn noise by heart |
    | `hidden` | "32", "64-32", "128-64" | "64-32" | effects of three columns need an MLP, none a wide one |

    With a mean loss a penalty acts as a prior, whose best weight falls with the number of rows. The product with the
    root of the rows is what has the same best values on tables of 23,000 and of 440,000 rows.

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> value; `hidden` is a tuple of widths.

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
        "hidden": _widths(hp, ["32", "64-32", "128-64"], "64-32"),
    }


def neumf_space(hp: Any) -> dict[str, Any]:
    """The space of factorisation from rating histories, `models.presets.NEUMF["history"]`, trained along a cosine.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.0005 to 0.005, logarithmic | 0.002 | below, a dozen epochs are too few; above, Adam jumps |
    | `dim` | 16, 32, 64 | 32 | directions of taste: 8 are too few, the penalty quiets superfluous ones |
    | `hidden` | "16", "32", "64", "64-32" | "32" | the product says most; the MLP only corrects it |
    | `dropout` | 0 to 0.5 | 0.3 | on the MLP, which learns ratings by heart first |
    | `vector_dropout` | 0.1 to 0.35 | 0.2 | on the vectors: with less, they know the training rows after two epochs |
    | `l2` | 0.00006 to 0.00025, logarithmic | 0.0001 | on every table and kernel; the fewer ratings, the larger |

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> value; `hidden` is a tuple of widths.
    """
    return {
        "learning_rate": hp.Float("learning_rate", 5e-4, 5e-3, sampling="log", default=2e-3),
        "dim": hp.Choice("dim", [16, 32, 64], default=32),
        "hidden": _widths(hp, ["16", "32", "64", "64-32"], "32"),
        "dropout": hp.Float("dropout", 0.0, 0.5, default=0.3),
        "vector_dropout": hp.Float("vector_dropout", 0.1, 0.35, default=0.2),
        "l2": hp.Float("l2", 6e-5, 2.5e-4, sampling="log", default=1e-4),
    }


def mf_space(hp: Any) -> dict[str, Any]:
    """The space of biases, a product of vectors and an MLP, `models.matrix_factorization`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.002 to 0.03, logarithmic | 0.01 | below, fifteen epochs are too few; above, Adam is unsteady |
    | `dim` | 4, 8, 16, 32, 64 | 32 | width of the vectors; the penalty quiets what is superfluous |
    | `hidden` | "16", "32-16", "64-32", "128-64" | "64-32" | widths of the MLP on both vectors and their product |
    | `activation` | "relu", "tanh" | "tanh" | of the MLP |
    | `l2_rows` | 5 to 150, logarithmic | 30 | penalty on the vectors × rows ÷ variance, see below |
    | `kernel_l2` | 0.0006 to 0.06, logarithmic | 0.006 | penalty on the MLP's kernels ÷ variance |

    The defaults are those of `presets.MATRIX_FACTORIZATION["c_wide"]`. With a mean loss a penalty acts as a prior: its
    weight falls with the number of rows and grows with the variance of the ratings.

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> value; `hidden` is a tuple of widths.
    """
    return {
        "learning_rate": hp.Float("learning_rate", 2e-3, 3e-2, sampling="log", default=1e-2),
        "dim": hp.Choice("dim", [4, 8, 16, 32, 64], default=32),
        "hidden": _widths(hp, ["16", "32-16", "64-32", "128-64"], "64-32"),
        "activation": hp.Choice("activation", ["relu", "tanh"], default="tanh"),
        "l2_rows": hp.Float("l2_rows", 5.0, 150.0, sampling="log", default=30.0),
        "kernel_l2": hp.Float("kernel_l2", 6e-4, 6e-2, sampling="log", default=6e-3),
    }


def cnn_space(hp: Any) -> dict[str, float]:
    """The space of how a small CNN is trained, such as those of `models.presets.CNN`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.0005 to 0.01, logarithmic | 0.003 | the peak of a cosine; above, training is unsteady |
    | `weight_decay` | 0.002 to 0.2, logarithmic | 0.02 | AdamW multiplies it by the rate: less has no effect |
    | `label_smoothing` | 0 to 0.2 | 0.1 | labels of small pictures are wrong now and then |
    | `erase` | 0 to 0.6 | 0.1 | share of pictures with a rectangle hidden: pays in long trainings of large nets |

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> number.
    """
    return {
        "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log", default=3e-3),
        "weight_decay": hp.Float("weight_decay", 2e-3, 0.2, sampling="log", default=0.02),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.2, default=0.1),
        "erase": hp.Float("erase", 0.0, 0.6, default=0.1),
    }


def dense_space(hp: Any) -> dict[str, Any]:
    """The space of a small dense classifier of a few thousand rows, such as `models.presets.DENSE["wide_and_deep"]`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.002 to 0.1, logarithmic | 0.02 | ten epochs along a cosine are few: it has to be high |
    | `hidden` | "16", "64", "128", "64-32" | "64" | few rows: one layer of few units learns the bends there are |
    | `dropout` | 0 to 0.7 | 0.5 | against learning rows by heart |
    | `l2` | 0.0001 to 0.02, logarithmic | 0.002 | the same, on every kernel; also what holds the linear part back |
    | `linear` | True, False | True | whether the inputs, and squares of numbers, reach the logits directly |

    Args:
        hp: KerasTuner's `HyperParameters`.

    Returns:
        Name -> value; `hidden` is a tuple of widths.
    """
    return {
        "learning_rate": hp.Float("learning_rate", 2e-3, 0.1, sampling="log", default=2e-2),
        "hidden": _widths(hp, ["16", "64", "128", "64-32"], "64"),
        "dropout": hp.Float("dropout", 0.0, 0.7, default=0.5),
        "l2": hp.Float("l2", 1e-4, 2e-2, sampling="log", default=2e-3),
        "linear": hp.Boolean("linear", default=True),
    }


def tabular_space(hp: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The space of a network for tables, `models.tabular_classifier` or `models.tabular_regressor`.

    | name | range | why |
    |---|---|---|
    | `learning_rate` | 0.0003 to 0.01, logarithmic | the peak of a cosine; above, training is unsteady |
    | `weight_decay` | 0.01 to 3, logarithmic | AdamW multiplies it by the rate: less has no effect |
    | `hidden` | "64-64", "128-128", "256-256", "128-128-128" | widths; larger tables bear larger ones |
    | `dim` | 8, 12, 16, 24 | width of a column's embedding |
    | `bins` | 8, 16, 32, 64 | of each number's piecewise linear embedding: smooth, or bent where rows allow it |
    | `dropout` | 0 to 0.5 | after each hidden layer, against learning rows by heart |

    Args:
        hp: KerasTuner's `HyperParameters`.
        defaults: Settings of a training, such as the parameters of `estimators.TabularClassifier`: the defaults of the
            space, and the others as they are.

    Returns:
        `defaults` with the values of the space; `hidden` is a tuple of widths.

    Example:
        >>> import keras_tuner
        >>> rest = {"learning_rate": 2e-3, "weight_decay": 0.1, "dim": 12, "bins": 32, "dropout": 0.1, "members": 8}
        >>> tabular_space(keras_tuner.HyperParameters(), {**rest, "hidden": (96,)})["hidden"]
        (96,)
    """

    def choice(name: str, values: list[int]) -> int:
        return int(hp.Choice(name, sorted({*values, defaults[name]}), default=defaults[name]))

    widths = "-".join(map(str, defaults["hidden"]))
    choices = list(dict.fromkeys(["64-64", "128-128", "256-256", "128-128-128", widths]))
    return {
        **defaults,
        "learning_rate": hp.Float("learning_rate", 3e-4, 1e-2, sampling="log", default=defaults["learning_rate"]),
        "weight_decay": hp.Float("weight_decay", 1e-2, 3.0, sampling="log", default=defaults["weight_decay"]),
        "hidden": _widths(hp, choices, widths),
        "dim": choice("dim", [8, 12, 16, 24]),
        "bins": choice("bins", [8, 16, 32, 64]),
        "dropout": hp.Float("dropout", 0.0, 0.5, default=defaults["dropout"]),
    }


def fusion_space(hp: Any, *, frozen: bool = False) -> dict[str, Any]:
    """The space of how a fusion model is trained, such as those of `models.presets.FUSION`.

    | name | range | default | why |
    |---|---|---|---|
    | `learning_rate` | 0.0003 to 0.01, logarithmic | 0.002 | above, batch normalisation of small batches is unsteady |
    | `weight_decay` | 0.0001 to 0.3, logarithmic | 0.0001 | Adam multiplies it by the rate: less has no effect |
    | `dropout` | 0.1, 0.2, 0.3, 0.4, 0.5 | 0.1 | after each hidden layer; the reference's choices |
    | `freeze` | 5 to 9 | 7 | first tensors of the ResNet that keep their pretrained values; the reference's |

    Args:
        hp: KerasTuner's `HyperParameters`.
        frozen: Whether there are pretrained weights to keep; without, `freeze` is no part of the space. Default False.

    Returns:
        Name -> number.
    """
    found = {
        "learning_rate": hp.Float("learning_rate", 3e-4, 1e-2, sampling="log", default=2e-3),
        "weight_decay": hp.Float("weight_decay", 1e-4, 0.3, sampling="log", default=1e-4),
        "dropout": hp.Choice("dropout", [0.1, 0.2, 0.3, 0.4, 0.5], default=0.1),
    }
    return found | {"freeze": hp.Int("freeze", 5, 9, default=7)} if frozen else found
