"""The picture of a ranking user by user: who gains by the model, and whose list is easy to order."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.report.canvas import BLUE, GREY, ORANGE, SOFT, Floats, checked, heading, note, panels


def per_user_ranking(
    ndcg_per_user: ArrayLike,
    baseline_per_user: ArrayLike,
    n_items_per_user: ArrayLike,
    *,
    baseline: str = "baseline",
) -> Figure:
    """Draw each user's NDCG@10, model beside a baseline: sorted, paired, and by the length of the list.

    Args:
        ndcg_per_user: (users,) NDCG@10 of the model, 0 to 1; NaN where a user has none.
        baseline_per_user: (users,) the same of the baseline, users in the same order.
        n_items_per_user: (users,) number of test items each list ranks.
        baseline: Name of the baseline.

    Returns:
        The figure, of three panels. Users with NaN in either take no part.

    Raises:
        DataError: The arrays differ in length, or no user has both values.

    Example:
        >>> figure = per_user_ranking([0.9, 0.7, 1.0], [0.8, 0.75, 1.0], [5, 20, 3], baseline="biases")
        >>> len(figure.axes)
        3
    """
    model, other = np.asarray(ndcg_per_user, float), np.asarray(baseline_per_user, float)
    known = np.isfinite(model) & np.isfinite(other) if model.shape == other.shape else slice(None)
    items = np.asarray(n_items_per_user, float)
    if items.shape == model.shape:
        items = items[known]
    model, other, items = checked(ndcg_per_user=model[known], baseline_per_user=other[known], n_items_per_user=items)
    figure, (sorted_axes, paired_axes, length_axes) = panels(9.6, [3.2, 2.6, 3.0])
    share = 100 * (np.arange(len(model)) + 0.5) / len(model)
    sorted_axes.plot(share, np.sort(other), color=GREY, linewidth=2.4)
    sorted_axes.plot(share, np.sort(model), color=BLUE, linewidth=2.4)
    note(sorted_axes, f"model, mean {model.mean():.4f}", (0.98, 0.18), color=BLUE, ha="right", va="bottom")
    note(sorted_axes, f"{baseline}, mean {other.mean():.4f}", (0.98, 0.05), color=SOFT, ha="right", va="bottom")
    heading(sorted_axes, f"NDCG@10 of {len(model):,} users (0 to 1)")
    sorted_axes.set_xlabel("users from worst to best (%)")
    sorted_axes.set_ylabel("NDCG@10")
    _paired(paired_axes, model - other)
    _by_length(length_axes, model, other, items)
    return figure


def _paired(axes: Axes, gain: Floats) -> None:
    """Draw the paired differences, and say what share of the users is better and worse off."""
    reach = float(np.quantile(np.abs(gain), 0.99)) or 0.1
    edges = np.linspace(-reach, reach, 42)  # 41 bars: the middle one holds the users without a difference
    share = np.full(len(gain), 100 / len(gain))
    _, _, bars = axes.hist(np.clip(gain, -reach, reach), bins=edges.tolist(), weights=share)
    for bar, centre in zip(bars, (edges[:-1] + edges[1:]) / 2, strict=True):  # type: ignore[arg-type]
        near_zero = abs(centre) < reach / 41
        bar.set_facecolor(GREY if near_zero else BLUE if centre > 0 else ORANGE)
    better, worse = 100 * np.mean(gain > 1e-9), 100 * np.mean(gain < -1e-9)
    note(axes, f"worse off\n{worse:.0f} % of users", (0.02, 0.97), color=ORANGE)
    note(axes, f"better off\n{better:.0f} % of users", (0.98, 0.97), color=BLUE, ha="right")
    heading(axes, f"Gain of each user, mean {gain.mean():+.4f}")
    axes.set_xlabel("gain in NDCG@10 (outer bars: and beyond)")
    axes.set_ylabel("users (%)")


def _by_length(axes: Axes, model: Floats, other: Floats, items: Floats) -> None:
    """Draw the means for users with short and long lists: a short list is easy to order."""
    edges = np.unique(np.quantile(items, [0.2, 0.4, 0.6, 0.8], method="lower"))
    which = np.searchsorted(edges, items)
    groups = np.unique(which)
    ticks = []
    for place, group in enumerate(groups):
        chosen = which == group
        fewest, most = int(items[chosen].min()), int(items[chosen].max())
        ticks.append(f"{fewest}" if fewest == most else f"{fewest}–{most}")
        axes.plot([place, place], [other[chosen].mean(), model[chosen].mean()], color=GREY, linewidth=1.5)
        axes.plot(place, other[chosen].mean(), "s", color=GREY, markersize=9)
        axes.plot(place, model[chosen].mean(), "o", color=BLUE, markersize=10)
    axes.set_xticks(range(len(groups)), ticks)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    heading(axes, "NDCG@10 by number of test items")
    axes.set_xlabel("test items of the user (a fifth of users each)")
    axes.set_ylabel("mean NDCG@10")
    note(axes, "● model", (0.98, 0.97), color=BLUE, ha="right")
    note(axes, "■ baseline", (0.98, 0.97), color=SOFT, ha="right", lines_down=1)
