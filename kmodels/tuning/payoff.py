"""Whether a search paid: the settings it found compared with the default ones, over the same seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from kmodels.errors import ConfigurationError


def payoff(
    score: Callable[[Any, int], Mapping[str, float]], settings: Mapping[str, Any], seeds: Sequence[int]
) -> pd.DataFrame:
    """Trains and evaluates each settings once a seed, the same seeds for all; equal settings are trained once.

    A search takes the best of many trials by their validation rows, which flatters it. Seeds should change weights,
    order and dropout and leave the split as it is: test rows of another split were validation rows of the search.
    `evaluation.selection.payoff_summary` tests whether the difference is significant.

    Args:
        score: From settings and a seed to metrics by name, such as {"rmse": 0.9, "validation_rmse": 0.91}: of the test
            rows, or of the validation rows where the name says so. The first one is the metric of the search.
        settings: Settings by name, "default" and "tuned".
        seeds: Different seeds, at least one; three or more for a test of significance.

    Returns:
        A row for each seed and settings: settings (its name), seed, and a column for each metric.

    Raises:
        ConfigurationError: If there are no settings or no seeds, or a seed is given twice.

    Example:
        >>> def score(settings, seed):
        ...     return {"rmse": settings["rate"] + 0.125 * seed}
        >>> payoff(score, {"default": {"rate": 1.0}, "tuned": {"rate": 0.5}}, seeds=[0, 1])
          settings  seed   rmse
        0  default     0  1.000
        1    tuned     0  0.500
        2  default     1  1.125
        3    tuned     1  0.625
    """
    if not settings or not len(seeds) or len(set(seeds)) < len(seeds):
        raise ConfigurationError(
            "payoff needs settings and different seeds. "
            f"Received: settings {', '.join(settings) or 'none'}, seeds {', '.join(map(str, seeds)) or 'none'}"
        )
    rows: list[dict[str, Any]] = []
    known: list[tuple[Any, int, dict[str, float]]] = []
    runs = [(name, seed) for seed in seeds for name in settings]
    with tqdm(total=len(runs), desc="payoff", unit="run", dynamic_ncols=True, disable=None) as bar:
        for name, seed in runs:
            found = [scores for each, its_seed, scores in known if (each, its_seed) == (settings[name], seed)]
            scores = found[0] if found else {key: float(value) for key, value in score(settings[name], seed).items()}
            known.append((settings[name], seed, scores))
            rows.append({"settings": name, "seed": seed, **scores})
            first = "".join(f", {metric} {value:.4g}" for metric, value in list(scores.items())[:1])
            bar.update()
            bar.set_postfix_str(f"{name}, seed {seed}{first}")
            if bar.disable:
                print(f"payoff {len(rows)}/{len(runs)}: {name}, seed {seed}{first}", file=sys.stderr, flush=True)
    return pd.DataFrame(rows)
