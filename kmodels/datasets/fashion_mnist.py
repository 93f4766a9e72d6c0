"""Fashion-MNIST: 28 × 28 grey pictures of ten kinds of garments, from IDX files as published or Kaggle's tables.

Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017, https://arxiv.org/abs/1708.07747. MNIST's own files have the same format and are read as well.
"""

from __future__ import annotations

import hashlib
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels.datasets.columns import NumberColumn
from kmodels.datasets.download import fetch_file, resolve
from kmodels.datasets.readers import open_table
from kmodels.datasets.sources import open_file
from kmodels.errors import DataError
from kmodels.folders import cache_folder

__all__ = ["load"]

#: The classes, by label.
LABELS: tuple[str, ...] = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
#: Height and width of a picture.
SIZE = 28
#: The name that `load` downloads.
KNOWN_NAMES: tuple[str, ...] = ("fashion-mnist",)

# Where Keras downloads them from.
BASE_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
#: Published name of each file -> the MD5 digest that its publishers give.
CHECKSUMS: dict[str, str] = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}

_SAMPLE = "fashion-sample"
# Debian's package dataset-fashion-mnist puts the files there.
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_TERMS = "Fashion-MNIST is © 2017 Zalando SE, under the MIT licence: https://github.com/zalandoresearch/fashion-mnist."

# The third byte of the magic number is the type of the values, 8 for unsigned bytes; the fourth their dimensions.
_IMAGES_MAGIC, _LABELS_MAGIC = 0x0803, 0x0801


@dataclass(frozen=True, eq=False)
class FashionMnist:
    """Pictures and labels of a training and a test part.

    Attributes:
        name: ``"sample"``, ``"fashion-mnist"`` or the folder's name.
        path: The folder the files were read from.
        sha256: Hexadecimal digest of the files' uncompressed bytes, in the order of `CHECKSUMS`.
        train_images: uint8 (rows, 28, 28, 1), 0 (background) to 255.
        train_labels: int32 (rows,), 0 to 9, positions in `LABELS`.
        test_images: uint8 (rows, 28, 28, 1).
        test_labels: int32 (rows,).
    """

    name: str
    path: Path
    sha256: str
    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int32]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int32]


def load(source: str | Path, cache: str | Path | None = None) -> FashionMnist:
    """Loads Fashion-MNIST by name or path.

    Args:
        source: ``"sample"``, the generated pictures; ``"fashion-mnist"``, read from Debian's
            package `dataset-fashion-mnist` where that is installed, else downloaded once into the cache, the checksums
            verified; else the path of a folder with the four IDX files, each compressed by gzip (``.gz``) or not, of
            torchvision's folder that has them in ``raw``, or of one with Kaggle's ``fashion-mnist_train.csv`` and
            ``fashion-mnist_test.csv``.
        cache: Where downloads are kept; None: ``$KMODELS_CACHE``, or ``~/.cache/kmodels`` where that is unset.

    Returns:
        Pictures and labels in the files' order.

    Raises:
        ConfigurationError: If `source` is neither a known name nor an existing path.
        DataError: If the download fails, or a file is missing, damaged or of another kind.

    Example:
        >>> data = load("sample")
        >>> data.test_images.shape, data.test_images.dtype, data.test_labels.shape
        ((1000, 28, 28, 1), dtype('uint8'), (1000,))
    """
    folder, name = resolve(source, _SAMPLE, KNOWN_NAMES), str(source)
    if source in KNOWN_NAMES:
        folder = _DEBIAN if _DEBIAN.is_dir() else _downloaded(Path(cache) if cache is not None else cache_folder())
    elif source != "sample":
        name = folder.resolve().name
    if not folder.is_dir():
        raise DataError("not a folder", file=folder, expected=f"the folder that holds {', '.join(CHECKSUMS)}")
    # torchvision's folder has another one inside.
    inside = (folder / "raw", folder / "FashionMNIST" / "raw")
    folder = next((each for each in inside if each.is_dir()), folder)
    digest = hashlib.sha256()
    train_images, train_labels = _read_part(folder, "train", digest)
    test_images, test_labels = _read_part(folder, "t10k", digest)
    return FashionMnist(name, folder, digest.hexdigest(), train_images, train_labels, test_images, test_labels)


def _downloaded(cache: Path) -> Path:
    folder = cache / KNOWN_NAMES[0]
    if not all((folder / file).is_file() for file in CHECKSUMS):
        print(_TERMS, file=sys.stderr)
    for file, checksum in CHECKSUMS.items():
        fetch_file(BASE_URL + file, folder / file, checksum)
    return folder


def _read_part(folder: Path, part: str, digest: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Pictures (rows, 28, 28, 1) and labels (rows,) of "train" or "t10k"."""
    table = folder / f"fashion-mnist_{'test' if part == 't10k' else part}.csv"
    if table.is_file():
        digest.update(table.read_bytes())
        values = _read_csv(table)
        return values[:, 1:].reshape(-1, SIZE, SIZE, 1), values[:, 0].astype(np.int32)
    images = _read_idx(_find(folder, f"{part}-images-idx3-ubyte"), _IMAGES_MAGIC, (SIZE, SIZE), digest)
    file = _find(folder, f"{part}-labels-idx1-ubyte")
    labels = _read_idx(file, _LABELS_MAGIC, (), digest)
    if len(images) != len(labels):
        expected = f"{len(images)} labels"
        raise DataError("pictures and labels differ in number", file=file, expected=expected, received=len(labels))
    if (labels >= len(LABELS)).any():
        row, expected = int(np.argmax(labels >= len(LABELS))), f"0 to {len(LABELS) - 1}"
        raise DataError(f"label {row + 1} is unknown", file=file, expected=expected, received=int(labels[row]))
    return images[..., None], labels.astype(np.int32)


def _find(folder: Path, name: str) -> Path:
    for file in (folder / f"{name}.gz", folder / name):
        if file.is_file():
            return file
    raise DataError("the file is missing", file=folder / f"{name}.gz", expected="it, or the same without .gz")


def _read_csv(file: Path) -> npt.NDArray[np.uint8]:
    """The label and the pixels of each row of a table as on Kaggle, (rows, 785)."""
    table = open_table(file)
    label = NumberColumn("label", "int64", 0, len(LABELS) - 1, f"0 to {len(LABELS) - 1}")
    pixels = [NumberColumn(f"pixel{number}", "int64", 0, 255, "0 to 255") for number in range(1, SIZE**2 + 1)]
    if table.names != tuple(column.name for column in (label, *pixels)):
        received = ", ".join(table.names)
        raise DataError("unknown header", file=file, row=1, expected="label, pixel1 to pixel784", received=received)
    chunks = [chunk.to_numpy(np.uint8) for chunk in table.chunks((), [label, *pixels])]
    if not chunks:
        raise DataError("the table has no row", file=file)
    return np.concatenate(chunks)


def _read_idx(file: Path, magic: int, shape: tuple[int, ...], digest: Any) -> npt.NDArray[np.uint8]:
    """Reads an IDX file: magic number, sizes (all big-endian, 4 bytes), then the values, one byte each."""
    with open_file(file) as opened:
        content = opened.read()
    digest.update(content)
    header = 4 * (2 + len(shape))
    found = int.from_bytes(content[:4], "big")
    if len(content) >= 4 and found != magic:
        kind = "pictures" if shape else "labels"
        raise DataError(
            "wrong magic number", file=file, expected=f"0x{magic:08x}, an IDX file of {kind}", received=f"0x{found:08x}"
        )
    if len(content) < header:
        raise DataError("the header is cut short", file=file, expected=f"{header} bytes", received=len(content))
    rows, *sizes = struct.unpack(f">{1 + len(shape)}I", content[4:header])
    if tuple(sizes) != shape:
        raise DataError("the pictures have another size", file=file, expected=str(shape), received=tuple(sizes))
    if rows == 0:
        raise DataError("the file has no rows", file=file)
    expected, received = rows * math.prod(shape), len(content) - header
    if received != expected:
        what = "cut short" if received < expected else "longer than its header says"
        raise DataError(f"the file is {what}", file=file, expected=f"{expected} values", received=received)
    return np.frombuffer(content, np.uint8, offset=header).reshape(rows, *shape)


def summary(data: FashionMnist) -> dict[str, Any]:
    """The counts of a report: rows of both parts, sha256, and training images of each class."""
    counts = np.bincount(data.train_labels, minlength=len(LABELS))
    return {
        "rows": len(data.train_labels) + len(data.test_labels),
        "train_rows": len(data.train_labels),
        "test_rows": len(data.test_labels),
        "sha256": data.sha256,
        "label_counts": dict(zip(LABELS, counts.tolist(), strict=True)),
    }
