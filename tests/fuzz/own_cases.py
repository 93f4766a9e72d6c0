"""Fashion-MNIST, and the files of our own."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels import files, preprocessing
from kmodels.datasets import fashion_mnist
from tests.fuzz.case import Case, Files
from tests.fuzz.mutations import Rng
from tests.fuzz.ratings_cases import USERS
from tests.fuzz.table_cases import films

# --- Fashion-MNIST


def _fashion(rng: Rng) -> Files:
    files = {}
    for part, rows in (("train", 3), ("t10k", 2)):
        images = struct.pack(">4I", 0x0803, rows, 28, 28) + rng.bytes(rows * 784)
        labels = struct.pack(">2I", 0x0801, rows) + bytes(rng.integers(0, 10, rows, dtype=np.uint8))
        for name, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            packed = rng.random() < 0.3
            files[f"{name}.gz" if packed else name] = gzip.compress(content, mtime=0) if packed else content
    return files


def _check_fashion(folder: Path, found: Any) -> Iterator[str]:
    for part, name in (("train", "train"), ("test", "t10k")):
        for kind, header, width in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            (file,) = folder.glob(f"{name}-{kind}-ubyte*")
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            values = getattr(found, f"{part}_{kind.partition('-')[0]}")
            rows = int.from_bytes(content[4:8], "big")
            if len(content) != header + rows * width or values.astype(np.uint8).tobytes() != content[header:]:
                yield f"{file.name} has other values"


# --- Files of our own


def _encoders(rng: Rng) -> Files:
    columns = {"genres": preprocessing.Tags("|"), "release_date": preprocessing.Date()}
    table = films(rng).drop(columns=["votes"])
    encoders: dict[str, Any] = {
        "ids": preprocessing.Vocabulary.fit(pd.Series(USERS)),
        "table": preprocessing.TableEncoder.fit(table, columns=columns),
        "target": preprocessing.Target.classes(pd.Series(["a", "é", "a"])),
    }
    with tempfile.TemporaryDirectory() as folder:
        preprocessing.save_encoders(encoders, Path(folder) / "encoders.json")
        return {"encoders.json": (Path(folder) / "encoders.json").read_bytes()}


def _read_encoders(folder: Path) -> Any:
    return preprocessing.load_encoders(folder / "encoders.json")


def _check_encoders(folder: Path, found: Any) -> Iterator[str]:
    """What is saved again must be what was read."""
    written = json.loads((folder / "encoders.json").read_text(encoding="utf-8"))
    preprocessing.save_encoders(found, folder / "again.json")
    if json.loads((folder / "again.json").read_text(encoding="utf-8")) != written:
        yield "other encoders"


def _arrays(rng: Rng) -> Files:
    file = io.BytesIO()
    np.savez(file, ids=rng.integers(0, 9, 20), table=rng.normal(size=(4, 3)).astype(np.float32), names=np.array(USERS))
    return {"a.npz": file.getvalue()}


def _check_arrays(folder: Path, found: Any) -> Iterator[str]:
    with np.lib.npyio.NpzFile(folder / "a.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if list(arrays) != list(found) or any(arrays[name].tobytes() != found[name].tobytes() for name in arrays):
        yield "other arrays"


CASES = {
    "fashion_mnist, IDX": Case("fashion_mnist", _fashion, fashion_mnist.load, _check_fashion, ("",)),
    "arrays, NPZ": Case(
        "arrays", _arrays, lambda folder: files.read_arrays(folder / "a.npz"), _check_arrays, (".npz",)
    ),
    "encoders, JSON": Case("encoders", _encoders, _read_encoders, _check_encoders),
}
