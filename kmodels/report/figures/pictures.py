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
from sklearn.metrics import ConfusionMatrixDisplay

from kmodels.errors import DataError
from kmodels.report.style import GREY, INK, ORANGE, SHADES, TEXT, WIDTH, blank, heading, panels

_WRITTEN = 12  # more classes than this are drawn by colour alone
_OPAQUE = 0.75  # of the colour where the heat is 1
_LETTERS = 14  # of a label, so that the captions of two examples do not meet


def confusion_matrix(matrix: ArrayLike, labels: Sequence[str]) -> Figure:
    """Draw how often each class is predicted as each, shaded by the share of the true class.

    Args:
        matrix: (classes, classes) counts, true class by row, predicted class by column.
        labels: Name of each class, in order.

    Returns:
        The figure; the counts are written in where there are at most twelve classes.

    Example:
        >>> figure = confusion_matrix([[23, 21], [4, 62]], ["low", "high"])
        >>> [text.get_text().split()[0] for text in figure.axes[0].texts]
        ['23', '21', '4', '62']
    """
    counts, size = np.asarray(matrix), len(labels)
    if counts.shape != (size, size) or counts.sum() <= 0:
        raise DataError("not a confusion matrix of these classes", expected=f"{size} × {size}", received=counts.shape)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = panels(4.9)
    axes.grid(False)
    # The root brings out the small shares, which are the mistakes.
    look = {"norm": PowerNorm(0.5, 0, 1), "aspect": "auto"}
    display = ConfusionMatrixDisplay(share, display_labels=labels)
    display.plot(ax=axes, include_values=False, colorbar=False, cmap=SHADES, im_kw=look)
    for row, column in np.ndindex(size, size) if size <= _WRITTEN else ():
        count = int(counts[row, column])
        text = f"{count:,}\n{100 * share[row, column]:.0f} %" if size <= 5 else f"{count:,}" if count else "·"
        colour = "white" if share[row, column] > 0.6 else INK if count else GREY
        letters = TEXT - 1 if size <= 5 else TEXT - 3
        axes.text(column, row, text, ha="center", va="center", fontsize=letters, color=colour)
    turned: dict[str, Any] = {}
    if max(map(len, labels)) * size > 26:
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    every = int(np.ceil(size / 40))
    axes.set_xticks(range(0, size, every), labels[::every], **turned)
    axes.set_yticks(range(0, size, every), labels[::every])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"predicted, of {int(counts.sum()):,} rows")
    axes.set_ylabel("true")
    heading(axes, f"Confusion: {100 * np.trace(counts) / counts.sum():.1f} % right")
    return figure


def picture_grid(
    pictures: ArrayLike, titles: Sequence[str], *, maps: ArrayLike | None = None, marked: ArrayLike | None = None
) -> Figure:
    """Draw pictures in rows, each with a title of a few words; with maps, each with its heat over itself in grey.

    Args:
        pictures: (n, height, width) or (n, height, width, 1 or 3); uint8, or numbers drawn over their own range.
        titles: Title of each picture; lines are parted by a line feed.
        maps: (n, h, w) heat, 0 to 1, of any size, as of `explain.grad_cam`; pictures must be uint8 then.
        marked: (n,) whether a title is in orange, such as that of a wrong prediction.

    Returns:
        The figure: five pictures in a row, or two with their maps.

    Example:
        >>> picture_grid(np.zeros((2, 4, 4), "uint8"), ["coat", "shirt"]).axes[1].get_title(loc="left")
        'shirt'
    """
    images = np.asarray(pictures)
    images = images[..., None] if images.ndim == 3 else images
    heat = None if maps is None else np.asarray(maps, dtype=np.float64)
    orange = np.zeros(len(images), bool) if marked is None else np.asarray(marked, bool)
    _check_pictures(images, titles, heat, orange)
    across, cells = (5, 1) if heat is None else (2, 2)
    down = -(-len(images) // across)
    lines = max(title.count("\n") + 1 for title in titles)
    height = WIDTH / (across * cells) * images.shape[1] / images.shape[2]
    figure = blank(0.1 + down * (height + 0.1 + 0.19 * lines))
    grid = figure.subplots(down, across * cells, squeeze=False).reshape(down * across, cells)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, (pair, image) in enumerate(zip(grid, images, strict=False)):
        colour = ORANGE if orange[index] else INK
        pair[0].set_title(titles[index], loc="left", fontsize=TEXT - (3 if heat is None else 2), color=colour, pad=4)
        _draw_picture(pair[0], image)
        if heat is not None:
            _draw_heat(pair[1], image, heat[index])
    return figure


def hardest(
    pictures: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    n: int = 20,
) -> Figure:
    """Draw the pictures to whose true class the model gives the least probability, hardest first, wrong ones orange."""
    images, truth, guess, share = _aligned(pictures, true, predicted, probability)
    rows = np.argsort(share[np.arange(len(truth)), truth], kind="stable")[:n]
    short_labels = [_shortened(label, 11) for label in labels]
    titles = [
        f"{short_labels[truth[row]]}\n{short_labels[guess[row]]} {100 * share[row, guess[row]]:.0f} %" for row in rows
    ]
    return picture_grid(images[rows], titles, marked=truth[rows] != guess[rows])


def heat_maps(
    pictures: ArrayLike,
    maps: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    each: int = 4,
) -> Figure:
    """Draw examples predicted right, then examples predicted wrong, each with its heat map.

    The first of each kind are taken, in the order given: rows in random order make an unbiased selection.

    Args:
        pictures: As `picture_grid` takes them, uint8.
        maps: As `picture_grid` takes them; the heat should be that of the predicted class.
        true: (n,) true classes, integers from 0.
        predicted: (n,) predicted classes.
        probability: (n, classes).
        labels: Name of each class; long ones are cut to 14 letters.
        each: How many right and how many wrong ones, at most. Default 4.

    Returns:
        The figure; titles of wrong ones are orange.
    """
    images, truth, guess, share = _aligned(pictures, true, predicted, probability)
    right = truth == guess
    rows = np.concatenate([np.flatnonzero(right)[:each], np.flatnonzero(~right)[:each]])
    titles = [
        f"predicted {_shortened(labels[guess[row]])}, {100 * share[row, guess[row]]:.0f} %\n"
        f"is {_shortened(labels[truth[row]])}"
        for row in rows
    ]
    return picture_grid(images[rows], titles, maps=np.asarray(maps)[rows], marked=~right[rows])


def _aligned(
    pictures: ArrayLike, true: ArrayLike, predicted: ArrayLike, probability: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    images, truth, guess, share = (np.asarray(values) for values in (pictures, true, predicted, probability))
    if not len(images) or not len(images) == len(truth) == len(guess) == len(share):
        received = tuple(map(len, (images, truth, guess, share)))
        raise DataError("pictures, classes and probabilities differ in length", expected="one each", received=received)
    return images, truth, guess, share


def _check_pictures(
    images: NDArray[Any], titles: Sequence[str], heat: NDArray[np.float64] | None, marked: NDArray[np.bool_]
) -> None:
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        expected = "(n, height, width) or (n, height, width, 1 or 3)"
        raise DataError("not pictures", column="pictures", expected=expected, received=images.shape)
    if len(titles) != len(images) or len(marked) != len(images):
        received = (len(images), len(titles), len(marked))
        raise DataError("pictures, titles and marks differ in length", expected="one each", received=received)
    if heat is None:
        return
    if images.dtype != np.uint8:
        raise DataError("not pictures for heat maps", column="pictures", expected="uint8", received=images.dtype)
    if heat.ndim != 3 or len(heat) != len(images) or not ((heat >= 0) & (heat <= 1)).all():
        expected = f"({len(images)}, h, w), 0 to 1"
        raise DataError("not a heat map for each picture", column="maps", expected=expected, received=heat.shape)


def _shortened(text: str, letters: int = _LETTERS) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def _draw_picture(axes: Axes, picture: NDArray[Any]) -> None:
    low, high = (0, 255) if picture.dtype == np.uint8 else (None, None)
    axes.imshow(picture.squeeze(), cmap="gray", interpolation="nearest", vmin=low, vmax=high)


def _draw_heat(axes: Axes, picture: NDArray[Any], heat: NDArray[np.float64]) -> None:
    height, width = picture.shape[:2]
    # Grey below, so that no colour of the picture is taken for heat; bicubic, or a map of 4 x 4 has a visible grid.
    grown = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    smooth = np.clip(np.asarray(grown), 0, 1)[..., None]
    colour = 255 * matplotlib.colormaps["inferno"](smooth[..., 0])[..., :3]
    grey = np.broadcast_to(picture, (height, width, 3)) @ np.array([0.299, 0.587, 0.114])
    covered = (1 - _OPAQUE * smooth) * grey[..., None] + _OPAQUE * smooth * colour
    axes.imshow(covered.astype(np.uint8), interpolation="nearest")
