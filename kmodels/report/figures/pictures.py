"""Pictures and classes: the confusion matrix, and grids of examples, with heat maps where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from kmodels.errors import DataError
from kmodels.report.style import GREY, INK, ORANGE, SHADES, TEXT, WIDTH, blank, brief, heading, panels

_WRITTEN = 12  # more classes than this are drawn by colour alone
_LETTERS = 24  # of a class at an axis
_OPAQUE = 0.75  # of the colour where the heat is 1


def confusion_matrix(matrix: ArrayLike, labels: Sequence[str]) -> Figure:
    """Draw counts, a row for each true class, shaded by its share; written in where there are at most twelve."""
    counts, size = np.asarray(matrix), len(labels)
    if counts.shape != (size, size) or counts.sum() <= 0:
        raise DataError("not a confusion matrix of these classes", expected=f"{size} × {size}", received=counts.shape)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = panels(4.9)
    axes.grid(False)
    # The root brings out the small shares, which are the mistakes.
    axes.imshow(share, cmap=SHADES, norm=PowerNorm(0.5, 0, 1), aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(size, size) if size <= _WRITTEN else ():
        count = int(counts[row, column])
        text = f"{count:,}\n{100 * share[row, column]:.0f} %" if size <= 5 else f"{count:,}" if count else "·"
        colour = "white" if share[row, column] > 0.6 else INK if count else GREY
        letters = TEXT - 1 if size <= 5 else TEXT - 3
        axes.text(column, row, text, ha="center", va="center", fontsize=letters, color=colour)
    labels = [brief(label, _LETTERS) for label in labels]
    is_wide = max(map(len, labels)) * size > 26
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_wide else {}
    every = int(np.ceil(size / 40))
    axes.set_xticks(range(0, size, every), labels[::every], **turned)
    axes.set_yticks(range(0, size, every), labels[::every])
    axes.spines[:].set_visible(False)
    axes.set(xlabel=f"predicted, of {int(counts.sum()):,} rows", ylabel="true")
    heading(axes, f"Confusion: {100 * np.trace(counts) / counts.sum():.1f} % right")
    return figure


def picture_grid(
    pictures: ArrayLike, titles: Sequence[str], *, maps: ArrayLike | None = None, marked: ArrayLike = ()
) -> Figure:
    """Draw pictures in rows, each with a title of a few words; with maps, each with its heat over itself in grey.

    Args:
        pictures: (n, height, width) or (n, height, width, 1 or 3); uint8, or numbers drawn over their own range.
        titles: Title of each picture; lines are parted by a line feed.
        maps: (n, h, w) heat, 0 to 1, of any size, as of `explain.grad_cam`; pictures must be uint8 then.
        marked: Positions of the pictures whose title is in orange, such as those of wrong predictions.

    Returns:
        The figure: five pictures in a row, or two with their maps.

    Example:
        >>> picture_grid(np.zeros((2, 4, 4), "uint8"), ["coat", "shirt"]).axes[1].get_title(loc="left")
        'shirt'
    """
    images = np.asarray(pictures)
    heat = None if maps is None else np.asarray(maps, dtype=np.float64)
    if images.ndim not in (3, 4) or not len(images) == len(titles) == len(images if heat is None else heat) > 0:
        raise DataError("not as many pictures as titles and maps", expected=str(len(titles)), received=images.shape)
    across, cells = (5, 1) if heat is None else (2, 2)
    down, lines = -(-len(images) // across), max(title.count("\n") + 1 for title in titles)
    height = WIDTH / (across * cells) * images.shape[1] / images.shape[2]
    figure = blank(0.1 + down * (height + 0.1 + 0.19 * lines))
    grid = figure.subplots(down, across * cells, squeeze=False).reshape(down * across, cells)
    for axes in grid.flat:
        axes.set_axis_off()
    ends = {"vmin": 0, "vmax": 255} if images.dtype == np.uint8 else {}
    for index, (pair, image) in enumerate(zip(grid, images, strict=False)):
        colour = ORANGE if index in np.asarray(marked) else INK
        pair[0].set_title(titles[index], loc="left", fontsize=TEXT - (3 if heat is None else 2), color=colour, pad=4)
        pair[0].imshow(image.squeeze(), cmap="gray", interpolation="nearest", **ends)
        if heat is not None:
            _draw_heat(pair[1], image.reshape(*image.shape[:2], -1), heat[index])
    return figure


def examples(
    pictures: ArrayLike, true: ArrayLike, share: ArrayLike, labels: Sequence[str], *, maps: ArrayLike | None = None
) -> Figure:
    """Draw the hardest pictures, or with heat maps the first predicted right and wrong; orange titles are wrong."""
    images, truth, share = (np.asarray(values) for values in (pictures, true, share))
    guess = share.argmax(axis=1)
    if maps is None:
        rows = np.argsort(share[np.arange(len(truth)), truth], kind="stable")[:20]
        title, letters = "{true}\n{predicted} {percent:.0f} %", 11
    else:
        rows = np.concatenate([np.flatnonzero(truth == guess)[:4], np.flatnonzero(truth != guess)[:4]])
        title, letters = "predicted {predicted}, {percent:.0f} %\nis {true}", 14
    names = [brief(text, letters) for text in labels]
    facts = [{"true": truth[row], "predicted": guess[row], "percent": 100 * share[row, guess[row]]} for row in rows]
    titles = [title.format_map(fact | {name: names[fact[name]] for name in ("true", "predicted")}) for fact in facts]
    wrong = np.flatnonzero(truth[rows] != guess[rows])
    return picture_grid(images[rows], titles, maps=None if maps is None else np.asarray(maps)[rows], marked=wrong)


def _draw_heat(axes: Axes, picture: NDArray[Any], heat: NDArray[np.float64]) -> None:
    height, width = picture.shape[:2]
    # Grey below, so that no colour of the picture is taken for heat; bicubic, or a map of 4 x 4 has a visible grid.
    grown = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    smooth = np.clip(np.asarray(grown), 0, 1)[..., None]
    colour = 255 * matplotlib.colormaps["inferno"](smooth[..., 0])[..., :3]
    grey = np.broadcast_to(picture, (height, width, 3)) @ np.array([0.299, 0.587, 0.114])
    covered = (1 - _OPAQUE * smooth) * grey[..., None] + _OPAQUE * smooth * colour
    axes.imshow(covered.astype(np.uint8), interpolation="nearest")
