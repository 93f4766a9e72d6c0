"""Synthetic points of interest whose engagement is written half in the metadata, half in the picture.

Each place has a hidden class z, low, medium or high, each for a third of the places. Given z, tier, town, xps
and each category are drawn independently from the tables below, so what the metadata say of z is Bayes' rule on
these tables. The picture shows z's cue, a ring, a cross or a triangle, except with probability `ALPHA`, when it
shows none. The visitors' counts are drawn so that the terciles of likes/visits + bookmarks/visits −
dislikes/(likes + bookmarks) are z. Name, description, tags, colours and clutter say nothing of z.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROWS = 1000
# Chosen so that what the best predictors score on the sample, and on the recipe's test part of it, is close to what
# they score on average.
SEED = 2342
SIDE = 128
ALPHA = 0.30
CUES = ("ring", "cross", "triangle")

CATEGORIES = (
    "Adventure",
    "Architecture",
    "Art",
    "Culture",
    "Food",
    "History",
    "Museum",
    "Nature",
    "Nightlife",
    "Park",
    "Shopping",
    "Sport",
)
# Rows: low, medium, high. P(the place has the category | z), before the rule that it has one at least.
_HAS_CATEGORY = np.array(
    [
        # Adv   Arch  Art   Cult  Food  Hist  Mus   Nat   Night Park  Shop  Sport
        [0.08, 0.15, 0.08, 0.15, 0.12, 0.30, 0.12, 0.12, 0.15, 0.10, 0.28, 0.12],
        [0.08, 0.15, 0.28, 0.15, 0.12, 0.12, 0.28, 0.12, 0.15, 0.10, 0.12, 0.12],
        [0.26, 0.15, 0.08, 0.15, 0.12, 0.12, 0.12, 0.30, 0.15, 0.10, 0.12, 0.12],
    ]
)
# P(tier | z), P(town | z), P(few or many xps | z).
_TIER = np.array([[0.46, 0.26, 0.16, 0.12], [0.22, 0.40, 0.24, 0.14], [0.12, 0.16, 0.28, 0.44]])
_TOWN = np.array([[0.40, 0.20, 0.20, 0.20], [0.18, 0.40, 0.22, 0.20], [0.18, 0.18, 0.24, 0.40]])
_XPS = np.array([[0.62, 0.38], [0.50, 0.50], [0.38, 0.62]])

# Longitude and latitude of the four towns; places lie about them with this deviation, in degrees.
TOWNS = np.array([[5.9, 49.5], [6.1, 50.1], [6.6, 49.7], [7.0, 50.3]])
_TOWN_SPREAD = 0.04
# Points of the two kinds of place, well apart: uniform on these ranges.
_XPS_RANGES = ((5, 60), (200, 1000))
# Bands of the measure of engagement, with gaps wider than what rounding to whole counts moves.
_BANDS = ((0.05, 0.50), (0.56, 1.10), (1.18, 2.40))

_TAGS = (
    "accessible audio-guide bar beach bench bridge castle child-friendly church cliff dog-friendly fountain free "
    "garden guided hidden hike indoor lake library market memorial night outdoor panorama parking picnic quiet "
    "ruin sculpture shop sunset terrace theatre tower trail view village waterfall workshop"
)
_HEADER = (
    "id name shortDescription categories tier locationLon locationLat tags xps Visits Likes Dislikes Bookmarks "
    "main_image_path"
)
_NAMES = (
    "Amber Birch Copper Drift Elder Falcon Granite Heron Iron Juniper Kestrel Linden Mill North Oak Pine Quarry "
    "River Saint Thorn Upper Vale Willow York"
)
_KINDS = (
    "Abbey Bridge Cellar Dome Esplanade Fountain Gallery Hall Inn Jetty Keep Lookout Mill Nook Orchard Pavilion "
    "Quay Ridge Square Tower"
)


@dataclass(frozen=True)
class Planted:
    """Drawn places, all but their pictures.

    Args:
        z: Shape (rows,), 0 low, 1 medium, 2 high.
        shown: Shape (rows,), True where the picture shows z's cue.
        has_category: Shape (rows, 12), bool.
        tier: Shape (rows,), 0 to 3.
        town: Shape (rows,), 0 to 3.
        many_xps: Shape (rows,), 0 or 1.
        location: Shape (rows, 2), longitude and latitude.
        xps: Shape (rows,), whole points.
        counts: Shape (rows, 4): visits, likes, dislikes, bookmarks.
        names: One per row.
        descriptions: One per row.
        tags: One list per row.
    """

    z: np.ndarray
    shown: np.ndarray
    has_category: np.ndarray
    tier: np.ndarray
    town: np.ndarray
    many_xps: np.ndarray
    location: np.ndarray
    xps: np.ndarray
    counts: np.ndarray
    names: list[str]
    descriptions: list[str]
    tags: list[list[str]]


def plant(rows: int, seed: int) -> Planted:
    """Draws the places, of each class a third (or one more)."""
    rng = np.random.default_rng(seed)
    z = rng.permutation(np.arange(rows) % 3)
    tier, town, many_xps = (_choose(rng, table[z]) for table in (_TIER, _TOWN, _XPS))
    low, high = np.array(_XPS_RANGES)[many_xps].T
    first, second, tag_words = _NAMES.split(), _KINDS.split(), _TAGS.split()
    words = rng.integers(0, [len(first), len(second)], (rows, 2))
    names = [f"{first[a]} {second[b]}" for a, b in words.tolist()]
    number = np.where(rng.random(rows) < 0.07, 0, 1 + rng.binomial(12, 0.3, rows))
    return Planted(
        z=z,
        # The exact share, so that chance in it does not blur what a picture can tell.
        shown=rng.permutation(rows) >= round(ALPHA * rows),
        has_category=_draw_categories(rng, z),
        tier=tier,
        town=town,
        many_xps=many_xps,
        location=np.round(TOWNS[town] + rng.normal(0, _TOWN_SPREAD, (rows, 2)), 5),
        xps=rng.integers(low, high + 1),
        counts=_draw_counts(rng, z),
        names=names,
        descriptions=[f'The {name}, known as "{name.split()[0]}", is open all year.' for name in names],
        tags=[sorted(rng.choice(tag_words, n, replace=False).tolist()) for n in number.tolist()],
    )


def _choose(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """Draws one column per row of a table of probabilities."""
    return (rng.random((len(shares), 1)) > np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)


def _draw_categories(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """Draws each place's categories, again for those that got none."""
    has = np.zeros((len(z), len(CATEGORIES)), bool)
    while (none := ~has.any(axis=1)).any():
        has[none] = rng.random((int(none.sum()), len(CATEGORIES))) < _HAS_CATEGORY[z[none]]
    return has


def _draw_counts(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """Draws visits, likes, dislikes and bookmarks whose measure of engagement lies in z's band."""
    low, high = np.array(_BANDS)[z].T
    measure = rng.uniform(low, high)
    visits = rng.integers(10_001, 10_039, len(z))
    dislikes_per_approval = rng.uniform(0.05, 0.35, len(z))
    approval = visits * (measure + dislikes_per_approval)
    bookmarks = np.rint(approval * rng.uniform(0.10, 0.29, len(z)))
    likes = np.rint(approval) - bookmarks
    dislikes = np.rint(dislikes_per_approval * approval)
    return np.stack([visits, likes, dislikes, bookmarks], axis=1).astype(np.int64)


def posterior(world: Planted) -> np.ndarray:
    """Computes P(z | metadata) of every place by Bayes' rule, shape (rows, 3)."""
    joint = _category_probability(world.has_category)
    joint = joint * _TIER.T[world.tier] * _TOWN.T[world.town] * _XPS.T[world.many_xps]
    return joint / joint.sum(axis=1, keepdims=True)


def _category_probability(has: np.ndarray) -> np.ndarray:
    """Computes P(these categories | z), at least one given; `has` is (rows, 12), the result (rows, 3)."""
    each = np.where(has[:, None, :], _HAS_CATEGORY, 1 - _HAS_CATEGORY).prod(axis=-1)
    return each / (1 - (1 - _HAS_CATEGORY).prod(axis=-1))


def floors() -> dict[str, float]:
    """Computes the best possible accuracies, by enumeration of every combination of the metadata.

    Returns:
        - `majority`: one class always. `metadata_alone`: E[max P(z | metadata)].
        - `picture_alone`: z where the cue is shown, a guess elsewhere, (1 − α) + α/3.
        - `both`: z where the cue is shown, the metadata elsewhere, (1 − α) + α · E[max P(z | metadata)].
    """
    subsets = np.array(list(itertools.product([False, True], repeat=len(CATEGORIES))))[1:]
    others = np.einsum("za,zb,zc->abcz", _TIER, _TOWN, _XPS).reshape(-1, 3)
    # Each class a third: P(metadata, z) = P(metadata | z) / 3, and the best guess is right with the largest.
    categories = _category_probability(subsets)
    metadata = float(sum((categories * row).max(axis=1).sum() for row in others)) / 3
    return {
        "majority": 1 / 3,
        "metadata_alone": metadata,
        "picture_alone": 1 - ALPHA + ALPHA / 3,
        "both": 1 - ALPHA + ALPHA * metadata,
    }


def reached(world: Planted) -> dict[str, float]:
    """Computes what the three best predictors score on these very places; guesses count with their chance."""
    certain = posterior(world)
    right = (certain.argmax(axis=1) == world.z).astype(float)
    return {
        "metadata_alone": float(right.mean()),
        "picture_alone": float(np.where(world.shown, 1, 1 / 3).mean()),
        "both": float(np.where(world.shown, 1, right).mean()),
    }


def relabelled(world: Planted, *, splits: int = 100) -> float:
    """Computes the share of places whose class by terciles of random training rows (70 %) is not z, on average.

    In a random part, the classes are not exactly a third each, so the terciles fall a few places beside the gaps.
    """
    visits, likes, dislikes, bookmarks = world.counts.T
    measure = (likes + bookmarks) / visits - dislikes / (likes + bookmarks)
    shares = []
    for seed in range(splits):
        train = np.random.default_rng(seed).permutation(len(measure))[: round(0.7 * len(measure))]
        label = np.searchsorted(np.quantile(measure[train], [1 / 3, 2 / 3]), measure)
        shares.append((label != world.z).mean())
    return float(np.mean(shares))


def draw_picture(z: int, shown: bool, *, seed: int, number: int) -> tuple[bytes, tuple[int, int, int, int] | None]:
    """Draws one picture.

    Args:
        z: The class whose cue to show.
        shown: Whether to show it.
        seed: Of the world.
        number: Of the place; each has its own stream of random numbers.

    Returns:
        A JPEG file of 128 × 128 pixels, and the cue's box (left, top, right, bottom in pixels, the last two
        exclusive), None where none is shown.
    """
    rng = np.random.default_rng([seed, number])
    # Twice as large and halved at the end: smooth edges.
    coarse = Image.fromarray(rng.integers(60, 196, (5, 5, 3), dtype=np.uint8))
    image = coarse.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(4, 9)):
        x, y = rng.integers(0, 2 * SIDE, 2).tolist()
        a, b = rng.integers(8, 40, 2).tolist()
        draw.ellipse((x - a, y - b, x + a, y + b), fill=_colour(rng))
    for _ in range(rng.integers(4, 9)):
        draw.line(rng.integers(0, 2 * SIDE, 4).tolist(), fill=_colour(rng), width=int(rng.integers(2, 6)))
    box = None
    if shown:
        size = int(rng.integers(26, 41))
        left, top = rng.integers(8, SIDE - 8 - size, 2).tolist()
        box = (left, top, left + size, top + size)
        _draw_cue(draw, rng, CUES[z], left + size / 2, top + size / 2, size / 2)
    file = io.BytesIO()
    image.reduce(2).save(file, "JPEG", quality=72, optimize=True)
    return file.getvalue(), box


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _draw_cue(draw: ImageDraw.ImageDraw, rng: np.random.Generator, cue: str, x: float, y: float, radius: float) -> None:
    """Draws a shape about (x, y), in final pixels: light strokes with a dark edge, or dark ones with a light edge."""
    bright = rng.random() < 0.5
    red, green, blue = rng.integers(190 if bright else 0, 256 if bright else 66, 3).tolist()
    edge = (0, 0, 0) if bright else (255, 255, 255)
    turn = rng.uniform(-0.25, 0.25)
    width = 0.3 * radius
    # The edge of 1.5 pixels is inside the box too.
    reach = radius - width / 2 - 1.5
    angles = turn + 2 * np.pi * np.arange(25) / 24 - np.pi / 2
    corners = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1)
    lines = {"ring": [corners], "triangle": [corners[::8]], "cross": [corners[[0, 12]], corners[[6, 18]]]}[cue]
    for wide, colour in ((width + 3, edge), (width, (red, green, blue))):
        for line in lines:
            points = [(2 * a, 2 * b) for a, b in line.tolist()]
            draw.line(points, fill=colour, width=round(2 * wide))
            # Round joints and ends.
            for a, b in points:
                draw.ellipse((a - wide, b - wide, a + wide, b + wide), fill=colour)


def write(folder: Path, with_floors: bool, *, rows: int = ROWS) -> None:
    """Writes pois.csv, images/ and boxes.csv, and floors.json if asked for; the bundled sample has `ROWS` rows."""
    world = plant(rows, SEED)
    images = folder / "images"
    images.mkdir(exist_ok=True)
    names, boxes = [], []
    for number in range(rows):
        z, shown = int(world.z[number]), bool(world.shown[number])
        picture, box = draw_picture(z, shown, seed=SEED, number=number)
        names.append(f"images/{number + 1:0{len(str(rows))}d}.jpg")
        (folder / names[-1]).write_bytes(picture)
        boxes.append((number + 1, names[-1], *((CUES[z], *box) if box else ("none", "", "", "", ""))))
    _write_csv(folder / "pois.csv", _HEADER.split(), _table_rows(world, names))
    _write_csv(folder / "boxes.csv", ("id", "main_image_path", "cue", "x0", "y0", "x1", "y1"), boxes)
    if with_floors:
        here = {f"{name}_on_these_rows": value for name, value in reached(world).items()}
        found = {name: round(value, 4) for name, value in (floors() | here | {"relabelled": relabelled(world)}).items()}
        (folder / "floors.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for name, value in found.items():
            print(f"{name:30} {value:.4f}")


def _table_rows(world: Planted, images: list[str]) -> Iterator[tuple[object, ...]]:
    """Goes through the rows of pois.csv, in the order of `_HEADER`."""
    for row, image in enumerate(images):
        categories = [name for name, has in zip(CATEGORIES, world.has_category[row], strict=True) if has]
        lon, lat = world.location[row].tolist()
        yield (
            row + 1,
            world.names[row],
            world.descriptions[row],
            categories,
            int(world.tier[row]) + 1,
            lon,
            lat,
            world.tags[row],
            int(world.xps[row]),
            *world.counts[row].tolist(),
            image,
        )


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    # The same line ends on every system.
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
