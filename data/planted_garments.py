"""Generated 28 × 28 pictures of garments in Fashion-MNIST's files: ten parametric silhouettes, some of them ambiguous.

A picture is a soft-edged shape of its class on black, moved, turned, sheared and scaled a little, with a brightness,
stripes, a print and noise of its own. Four pairs of classes differ by a cue: the length of the sleeves and a collar, a
line down the front, the gap between two legs, open straps. In a share alpha of a pair's pictures the cue is drawn half
way, alike for both classes: nothing tells those apart, so half of them are lost whatever the classifier.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

SIZE, N_TRAIN, N_TEST = 28, 4_000, 1_000
#: Two labels -> the share of their pictures in which nothing tells them apart.
AMBIGUOUS = {(0, 6): 0.25, (2, 4): 0.25, (1, 3): 0.08, (5, 7): 0.12}
# Gray levels of the files: fewer compress better, and more are not needed.
_LEVELS = 24
_EDGE = 9.0  # steepness of an outline, per unit of half a picture

Array = np.ndarray
#: Draws a class: random numbers, coordinates x and y (n, 28, 28) from -1 to 1, and which are ambiguous (n, 1, 1), to
#: the mask and its shading, both 0 to 1.
Draw = Callable[[np.random.Generator, Array, Array, Array], tuple[Array, Array]]


def _uniform(rng: np.random.Generator, n: int, low: float, high: float) -> Array:
    return rng.uniform(low, high, (n, 1, 1))


def _soft(distance: Array) -> Array:
    """1 well inside a shape (positive distance to its outline), 0 well outside."""
    return 1 / (1 + np.exp(-np.clip(_EDGE * 2 * distance, -30, 30)))


def _trapezoid(x: Array, y: Array, top: Array | float, bottom: Array | float, upper: Array, lower: Array) -> Array:
    """From y = top to bottom, with half widths that go from `upper` to `lower`."""
    along = np.clip((y - top) / (bottom - top), 0, 1)
    return _soft(np.minimum.reduce([y - top, bottom - y, upper + (lower - upper) * along - np.abs(x)]))


def _ellipse(x: Array, y: Array, cx: Array | float, cy: Array | float, rx: Array | float, ry: Array | float) -> Array:
    return _soft((1 - np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)) * np.minimum(rx, ry))


def _line(x: Array, width: float) -> Array:
    return np.exp(-((x / width) ** 2))


def _top(rng: np.random.Generator, x: Array, y: Array, sleeve: Array, bottom: Array) -> Array:
    """A torso with two sleeves that hang down at the sides; `sleeve` is their length."""
    n = len(x)
    width = _uniform(rng, n, 0.36, 0.48)
    torso = _trapezoid(x, y, -0.75, bottom, width, width + _uniform(rng, n, -0.05, 0.08))
    # Along a sleeve, from the shoulder down and outwards.
    slope = _uniform(rng, n, 0.2, 0.4)
    across = np.abs(x) - width * 0.9 - slope * (y + 0.7)
    sleeves = _soft(np.minimum.reduce([0.15 - np.abs(across), y + 0.75, -0.7 + 0.15 + 1.25 * sleeve - y]))
    neck = _ellipse(x, y, 0, -0.78, _uniform(rng, n, 0.14, 0.22), _uniform(rng, n, 0.08, 0.16))
    return np.maximum(torso, sleeves) * (1 - neck)


def _short_top(rng: np.random.Generator, x: Array, y: Array, vague: Array, collared: bool) -> tuple[Array, Array]:
    n = len(x)
    clear = _uniform(rng, n, 0.5, 0.95) if collared else _uniform(rng, n, 0.18, 0.42)
    sleeve = np.where(vague, _uniform(rng, n, 0.38, 0.55), clear)
    mask = _top(rng, x, y, sleeve, _uniform(rng, n, 0.6, 0.8))
    collar = _line(np.abs(x) - 0.35 * (y + 0.8), 0.07) * (y < -0.35) + 0.6 * _line(x, 0.05)
    contrast = np.where(vague | (not collared), 0, _uniform(rng, n, 0.1, 0.4))
    return mask, 1 - contrast * collar


def _t_shirt(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    return _short_top(rng, x, y, vague, False)


def _shirt(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    return _short_top(rng, x, y, vague, True)


def _long_top(rng: np.random.Generator, x: Array, y: Array, vague: Array, opened: bool) -> tuple[Array, Array]:
    n = len(x)
    clear = _uniform(rng, n, 0.74, 0.92) if opened else _uniform(rng, n, 0.58, 0.76)
    bottom = np.where(vague, _uniform(rng, n, 0.68, 0.82), clear)
    mask = _top(rng, x, y, _uniform(rng, n, 0.9, 1.1), bottom)
    contrast = np.where(vague | (not opened), 0, _uniform(rng, n, 0.12, 0.45))
    return mask, 1 - contrast * _line(x - _uniform(rng, n, -0.06, 0.06), 0.06)


def _pullover(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    return _long_top(rng, x, y, vague, False)


def _coat(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    return _long_top(rng, x, y, vague, True)


def _tube(rng: np.random.Generator, x: Array, y: Array, vague: Array, legs: bool) -> tuple[Array, Array]:
    n = len(x)
    width, narrow = _uniform(rng, n, 0.24, 0.36), _uniform(rng, n, 0.2, 0.34)
    straight, flare = _uniform(rng, n, -0.02, 0.08), _uniform(rng, n, 0.06, 0.34)
    flared = ~vague & (not legs)
    upper = np.where(flared, narrow, width)
    mask = _trapezoid(x, y, -0.85, 0.88, upper, upper + np.where(flared, flare, straight))
    gap = _trapezoid(x, y, _uniform(rng, n, -0.5, -0.1), 1.2, np.full_like(width, 0.01), _uniform(rng, n, 0.06, 0.16))
    return mask * (1 - np.where(vague | (not legs), 0, gap)), np.ones_like(x)


def _trouser(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    return _tube(rng, x, y, vague, True)


def _dress(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    return _tube(rng, x, y, vague, False)


def _shoe(rng: np.random.Generator, x: Array, y: Array, shaft: Array, straps: Array) -> tuple[Array, Array]:
    """A sole, an upper that falls towards the toe (on the left), a shaft, and the gaps between straps."""
    n = len(x)
    height = _uniform(rng, n, 0.35, 0.55)
    sole = _soft(np.minimum.reduce([0.86 - np.abs(x), y - 0.42, 0.62 - y]))
    upper = _soft(np.minimum.reduce([0.82 - np.abs(x), 0.5 - y, y - (0.45 - height * np.clip(x + 0.85, 0, 0.9))]))
    leg = _soft(np.minimum.reduce([0.3 - np.abs(x - 0.5), 0.5 - y, y - (0.4 - shaft)]))
    places = np.sin(x * _uniform(rng, n, 7, 11) + _uniform(rng, n, 0, 6))
    holes = np.clip(3 * places + 0.5, 0, 1) * straps * (y < 0.42)
    return np.maximum(sole, np.maximum(upper, leg) * (1 - holes)), 1 - 0.3 * _soft(y - 0.44)


def _sandal(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    n = len(x)
    return _shoe(rng, x, y, _uniform(rng, n, 0.3, 0.5), np.where(vague, 0.25, _uniform(rng, n, 0.4, 1)))


def _sneaker(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    n = len(x)
    return _shoe(rng, x, y, _uniform(rng, n, 0.3, 0.5), np.where(vague, 0.25, _uniform(rng, n, 0, 0.12)))


def _bag(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    n = len(x)
    top, width = _uniform(rng, n, -0.3, 0.1), _uniform(rng, n, 0.5, 0.85)
    body = _trapezoid(x, y, top, _uniform(rng, n, 0.55, 0.85), width, width + _uniform(rng, n, -0.1, 0.1))
    reach = _uniform(rng, n, 0.25, 0.5)
    outer = _ellipse(x, y, 0, top, reach, _uniform(rng, n, 0.3, 0.6))
    handle = outer * (1 - _ellipse(x, y, 0, top, reach - 0.1, 0.4)) * (y < top)
    return np.maximum(body, handle), 1 - 0.25 * _line(y - top - 0.2, 0.06)


def _boot(rng: np.random.Generator, x: Array, y: Array, vague: Array) -> tuple[Array, Array]:
    n = len(x)
    return _shoe(rng, x, y, _uniform(rng, n, 0.65, 1.15), _uniform(rng, n, 0, 0.12))


_CLASSES: tuple[Draw, ...] = (
    _t_shirt,
    _trouser,
    _pullover,
    _dress,
    _coat,
    _sandal,
    _shirt,
    _sneaker,
    _bag,
    _boot,
)


def ceiling() -> float:
    """The accuracy that no classifier exceeds on average: of the ambiguous pictures it has half right."""
    return 1 - sum(2 * share / 2 for share in AMBIGUOUS.values()) / len(_CLASSES)


def draw(rng: np.random.Generator, labels: Array) -> tuple[Array, Array]:
    """Draws a picture for each label.

    Returns:
        uint8 (n, 28, 28), and bool (n,), True where the picture is ambiguous.
    """
    share = np.zeros(len(_CLASSES))
    for pair, alpha in AMBIGUOUS.items():
        share[list(pair)] = alpha
    vague = rng.random(len(labels)) < share[labels]
    pictures = np.zeros((len(labels), SIZE, SIZE), np.uint8)
    for label, shape in enumerate(_CLASSES):
        rows = np.flatnonzero(labels == label)
        x, y = _places(rng, len(rows))
        mask, shading = shape(rng, x, y, vague[rows][:, None, None])
        pictures[rows] = _dye(rng, mask, shading, x, y)
    return pictures, vague


def _places(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Coordinates of each pixel in the garment's own frame, for garments at jittered poses."""
    grid = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = np.meshgrid(grid, grid, indexing="ij")
    angle, shear = rng.normal(0, 0.09, (n, 1, 1)), rng.normal(0, 0.06, (n, 1, 1))
    x, y = x - _uniform(rng, n, -0.14, 0.14), y - _uniform(rng, n, -0.12, 0.12)
    x, y = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (x + shear * y) / _uniform(rng, n, 0.82, 1.1), y / _uniform(rng, n, 0.85, 1.06)


def _dye(rng: np.random.Generator, mask: Array, shading: Array, x: Array, y: Array) -> Array:
    """Gives garments brightness, stripes, a print and noise."""
    n = len(mask)
    turn = rng.choice([0.0, np.pi / 2, np.pi / 4], (n, 1, 1))
    waves = np.sin((x * np.cos(turn) + y * np.sin(turn)) * _uniform(rng, n, 6, 20) + _uniform(rng, n, 0, 6))
    striped = (rng.random((n, 1, 1)) < 0.35) * _uniform(rng, n, 0.1, 0.35)
    print_ = _ellipse(x, y, _uniform(rng, n, -0.2, 0.2), _uniform(rng, n, -0.3, 0.3), 0.22, 0.18)
    printed = (rng.random((n, 1, 1)) < 0.3) * _uniform(rng, n, -0.45, 0.45)
    cloth = _uniform(rng, n, 0.3, 0.95) * shading * (1 + striped * waves + printed * print_)
    cloth = cloth * (1 + _uniform(rng, n, -0.25, 0.25) * y) + rng.normal(0, 0.05, mask.shape)
    levels = np.rint(np.clip(mask * cloth, 0, 1) * (_LEVELS - 1))
    return np.rint(levels * 255 / (_LEVELS - 1)).astype(np.uint8)


def plant(seed: int) -> dict[str, Array]:
    """Draws both parts from one seed.

    Returns:
        `train_images`, `train_labels`, `train_ambiguous`, and `test_…`; as many pictures of every class, shuffled.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, Array] = {}
    for part, rows in (("train", N_TRAIN), ("test", N_TEST)):
        labels = rng.permutation(np.arange(rows) % len(_CLASSES)).astype(np.uint8)
        pictures, vague = draw(rng, labels)
        parts |= {f"{part}_images": pictures, f"{part}_labels": labels, f"{part}_ambiguous": vague}
    return parts


def floors(parts: dict[str, Array]) -> dict[str, float]:
    """Computes what is reachable, and what simple classifiers of pixels reach: accuracies on the test part.

    Returns:
        - `ceiling`: what no classifier exceeds on average; `ceiling_on_test`: with the ambiguous pictures counted.
        - `logistic_regression` and `nearest_neighbour`: of the pixels.
    """
    x, y = parts["train_images"].reshape(N_TRAIN, -1) / 255, parts["train_labels"]
    tested, truth = parts["test_images"].reshape(N_TEST, -1) / 255, parts["test_labels"]
    linear = LogisticRegression(C=0.05, max_iter=500).fit(x, y)
    return {
        "ceiling": ceiling(),
        "ceiling_on_test": float(1 - parts["test_ambiguous"].mean() / 2),
        "logistic_regression": float(linear.score(tested, truth)),
        "nearest_neighbour": float(KNeighborsClassifier(1).fit(x, y).score(tested, truth)),
    }


def write(folder: Path, with_floors: bool, seed: int = 2017) -> None:
    """Writes the four IDX files, and floors.json if asked for."""
    parts = plant(seed)
    for part, name in (("train", "train"), ("test", "t10k")):
        images, labels = parts[f"{part}_images"], parts[f"{part}_labels"]
        sizes = len(images).to_bytes(4, "big")
        header = b"\0\0\x08\x03" + sizes + SIZE.to_bytes(4, "big") * 2
        _write_gzip(folder / f"{name}-images-idx3-ubyte.gz", header + images.tobytes())
        _write_gzip(folder / f"{name}-labels-idx1-ubyte.gz", b"\0\0\x08\x01" + sizes + labels.tobytes())
    if with_floors:
        found = {name: round(value, 4) for name, value in floors(parts).items()}
        (folder / "floors.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for name, value in found.items():
            print(f"{name:20} accuracy {value:.4f}")


def _write_gzip(path: Path, content: bytes) -> None:
    # Without the time of day, so that the bytes are the same every time.
    path.write_bytes(gzip.compress(content, 9, mtime=0))
