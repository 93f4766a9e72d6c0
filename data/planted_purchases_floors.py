"""What the structure of planted purchases makes possible: the errors and accuracies that no model can beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import ndtr

if TYPE_CHECKING:
    from planted_purchases import Planted

# Amounts are whole: one below 5,000 is one whose value before rounding is below 4,999.5.
GROUP_EDGES = np.array([4999.5, 9999.5, 15_000.5])
Cells = Sequence[tuple[np.ndarray, float]]


def expected_amount(mean: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expectation and variance of ``max(round(mean + sigma · eps), 1)``.

    The lower end is exact; rounding adds the variance 1/12 of a uniform error.

    Args:
        mean: Any shape.
        sigma: Same shape, above 0.

    Returns:
        Expectation and variance, both of that shape.
    """
    z = (1 - mean) / sigma
    below, density = ndtr(z), np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    expectation = below + mean * (1 - below) + sigma * density
    square = below + (mean**2 + sigma**2) * (1 - below) + sigma * (mean + 1) * density
    return expectation, square - expectation**2 + 1 / 12


def group_probabilities(mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Probabilities of the four spend groups under a normal distribution.

    Args:
        mean: Shape (rows,).
        sigma: Shape (rows,).

    Returns:
        Shape (rows, 4): below 5,000, to 10,000, to 15,000, above.
    """
    below = ndtr((GROUP_EDGES - mean[:, None]) / sigma[:, None])
    return np.diff(below, axis=1, prepend=0, append=1)


def spend_group(amount: np.ndarray) -> np.ndarray:
    """The spend group of each amount, 0 to 3."""
    return np.searchsorted(GROUP_EDGES, amount)


def random_split(rows: int, share: float, seed: int) -> np.ndarray:
    """Puts a random `share` of the rows into training; returns True for those."""
    return np.random.default_rng(seed).permutation(rows) < share * rows


def blup(world: Planted, train: np.ndarray, cells: Cells) -> np.ndarray:
    """Best linear unbiased prediction of a mixed model with known variances.

    All effects are random, the mean nearly free. Henderson's equations, (ZᵀWZ + D⁻¹) u = ZᵀWy, are solved by conjugate
    gradients (C. R. Henderson, "Best linear unbiased estimation and prediction under a selection model", Biometrics
    31 (2), 1975).

    Args:
        world: What was drawn.
        train: Shape (rows,), True for the rows to learn from.
        cells: Cell of each row, shape (rows,), and standard deviation, for each effect; one of 0 is left out.

    Returns:
        Shape (rows,), the predicted amounts of all rows.
    """
    cells = [(np.zeros(len(train), np.int64), 1e5), *((cell, sd) for cell, sd in cells if sd > 0)]
    sizes = [int(cell.max()) + 1 for cell, _ in cells]
    starts = np.cumsum([0, *sizes])
    index = [cell[train] + start for (cell, _), start in zip(cells, starts, strict=False)]
    weight = world.sigma[train] ** -2
    prior = np.repeat([sd**-2.0 for _, sd in cells], sizes)

    def transposed(values: np.ndarray) -> np.ndarray:
        return sum(np.bincount(columns, values, starts[-1]) for columns in index)

    def normal(effects: np.ndarray) -> np.ndarray:
        return transposed(weight * sum(effects[columns] for columns in index)) + prior * effects

    diagonal = transposed(weight) + prior
    square = (len(prior), len(prior))
    effects, failed = cg(
        LinearOperator(square, matvec=normal),
        transposed(weight * world.amount[train]),
        rtol=1e-8,
        maxiter=2000,
        M=LinearOperator(square, matvec=lambda values: values / diagonal),
    )
    if failed:
        raise RuntimeError(f"conjugate gradients did not converge in {failed} steps")
    return sum(effects[cell + start] for (cell, _), start in zip(cells, starts, strict=False))


def uncertainty(world: Planted, train: np.ndarray) -> np.ndarray:
    """Variance that a row's effects have left after training, by the formula for one effect at a time.

    An effect of standard deviation τ whose cell has n training rows of noise σ keeps 1 / (1/τ² + n/σ²).

    Args:
        world: What was drawn.
        train: Shape (rows,), True for the rows to learn from.

    Returns:
        Shape (rows,), summed over the effects.
    """
    total = np.zeros(len(train))
    for cell, deviation in world.cells().values():
        if deviation > 0:
            seen = np.bincount(cell[train], world.sigma[train] ** -2, int(cell.max()) + 1)
            total += (1 / (deviation**-2 + seen))[cell]
    return total


def without_ids(world: Planted) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of amounts for one who knows the world but sees no ids.

    The other columns may give a user or a product away. What several have in common is their mean and their variance,
    each weighted by its purchases; the mixture is taken as normal.

    Args:
        world: What was drawn.

    Returns:
        Mean and standard deviation, both of shape (rows,).
    """
    columns = np.column_stack([world.gender, world.age, world.occupation, world.city, world.stay, world.married])
    person, thing = (np.unique(table, axis=0, return_inverse=True)[1].ravel() for table in (columns, world.categories))
    first = person[world.user] * (int(world.category.max()) + 1) + world.category
    mean, variance = world.mean - world.by_product - world.by_user, world.sigma**2
    for effect, cell in ((world.by_product, thing[world.product]), (world.by_user, first)):
        count = np.maximum(np.bincount(cell), 1)
        common = np.bincount(cell, effect) / count
        mean = mean + common[cell]
        variance = variance + (np.bincount(cell, (effect - common[cell]) ** 2) / count)[cell]
    return mean, np.sqrt(variance)


def floors(world: Planted, train: np.ndarray | None = None, test: np.ndarray | None = None) -> dict[str, float]:
    """Computes what is reachable on this world: RMSE in units of currency, and accuracy of the four spend groups.

    Args:
        world: What was drawn.
        train: Shape (rows,), True for the rows to learn from; None: a random 80 %.
        test: Shape (rows,), True for the rows to be measured on; None: all others.

    Returns:
        - `oracle`: the generating model itself, by its formula over all rows; `oracle_on_test`: its predictions of the
          test rows.
        - `learnable`: the same once the effects must be learnt, by the formula of `uncertainty`.
        - `blup_told_groups`: best linear unbiased prediction that is told every user's group; `blup`: the same
          without the groups, where each user has a mean and a taste of their own.
        - `product_mean`, `category_mean`, `constant`: means of training rows.
        - `bayes_accuracy`: expected of the most likely spend group under the generating model; `learnable_accuracy`: on
          the test rows under `blup_told_groups` and its uncertainty; `bayes_accuracy_without_ids`: under the generating
          model seen through the columns other than the ids; `majority_accuracy`: measured on the test rows.
    """
    train = random_split(len(world.amount), 0.8, 0) if train is None else train
    test = ~train if test is None else test
    amount, shape, cells = world.amount, world.shape, world.cells()

    def rmse(predicted: np.ndarray) -> float:
        return float(np.sqrt(np.mean((predicted[test] - amount[test]) ** 2)))

    expectation, variance = expected_amount(world.mean, world.sigma)
    left = uncertainty(world, train)
    told = blup(world, train, list(cells.values()))
    untold = {name: cell for name, cell in cells.items() if name not in ("group", "taste")}
    untold["user"] = (world.user, float(np.hypot(shape.sd_user, shape.sd_group)))
    untold["taste"] = (world.user * (int(world.category.max()) + 1) + world.category, shape.sd_taste)
    likely = group_probabilities(told, np.sqrt(world.sigma**2 + left))[test]
    groups = spend_group(amount)
    return {
        "oracle": float(np.sqrt(variance.mean())),
        "oracle_on_test": rmse(expectation),
        "learnable": float(np.sqrt(variance.mean() + left[test].mean())),
        "blup_told_groups": rmse(told),
        "blup": rmse(blup(world, train, list(untold.values()))),
        "product_mean": rmse(_mean_by(world.product, amount, train)),
        "category_mean": rmse(_mean_by(world.category, amount, train)),
        "constant": rmse(np.full(len(amount), amount[train].mean())),
        "bayes_accuracy": float(group_probabilities(world.mean, world.sigma).max(axis=1).mean()),
        "learnable_accuracy": float(likely.max(axis=1).mean()),
        "bayes_accuracy_without_ids": float(group_probabilities(*without_ids(world)).max(axis=1).mean()),
        "majority_accuracy": float((groups[test] == np.bincount(groups[train]).argmax()).mean()),
    }


def _mean_by(cell: np.ndarray, amount: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Mean training amount of each row's cell; the overall mean where it has no training row."""
    count = np.bincount(cell[train], minlength=int(cell.max()) + 1)
    total = np.bincount(cell[train], amount[train], len(count))
    return np.where(count > 0, total / np.maximum(count, 1), amount[train].mean())[cell]
