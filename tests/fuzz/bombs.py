"""Small files that claim, or unpack to, far more than they are; and the memory that it takes to refuse them.

Each is written and read in a process of its own, whose peak of memory is that of the reader.
"""

from __future__ import annotations

import gzip
import resource
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels import files, preprocessing
from kmodels.datasets import fashion_mnist, movies, pictures, ratings
from kmodels.errors import KModelsError

SIZE = 2**21  # bytes of a file at most
MOST_MIB = 1024


def _packed(path: Path, head: str, block: str) -> None:
    """A text and blocks after it, of which there are as many as just pass for no bomb."""
    block = block * max(1, 2**20 // len(block))
    member = gzip.compress(block.encode())
    path.write_bytes(gzip.compress(head.encode()) + member * (files.MOST_BYTES // len(block.encode()) - 1))


def _plain(path: Path, head: str, block: str) -> None:
    path.write_text(head + block * ((SIZE - len(head)) // len(block)))


def _texts(name: str, header: str, row: str) -> dict[str, Any]:
    """Ways in which a text has no end."""
    kinds = {
        "one line": (header, "a"),
        "one field in quotes": (header + '"', "a\n"),
        "one record of many fields": (header, ","),
        "one record of nearly too many fields": (header, "," * (2**24 - 16) + "\n"),
        "one record of many lines": (header, '"\n",'),
        "carriage returns": (header.replace("\n", "\r"), row.replace("\n", "\r")),
        "header of many names": ("", "a,"),
        "a wide letter": (header, "a" * 2**16 + "\U0001f600\n"),
        "rows": (header, row),
    }
    return {kind: lambda folder, parts=parts: _packed(folder / name, *parts) for kind, parts in kinds.items()}


def _documents(write: Callable[[Path, str, str], None], name: str) -> dict[str, Any]:
    """Ways in which a JSON document has no end."""
    kinds = {
        "nesting": ("", "["),
        "lists": ("[", "[],"),
        "numbers": ("[", "1,"),
        "records": ("[", '{"a":1},'),
        "empty records": ("[", "{},"),
        "lines": ("", '{"a":1}\n'),
        "columns": ('{"a":[', "1,"),
        "lists in a record": ('[{"a":[', "[],"),
        "text": ('[{"a":"', "a" * 2**16 + "\U0001f600"),
    }
    return {kind: lambda folder, parts=parts: write(folder / name, *parts) for kind, parts in kinds.items()}


def _parquet(table: Callable[[], pd.DataFrame], **options: Any) -> Callable[[Path], None]:
    return lambda folder: table().to_parquet(folder / "t.parquet", compression="zstd", row_group_size=2**24, **options)


def _long_texts() -> pd.DataFrame:
    return pd.DataFrame(
        {"user_id": pd.Categorical.from_codes([0] * 2**16, ["a" * 2**16]), "item_id": "b", "rating": 3.0}
    )


def _rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"user_id": np.ones(count, np.int64), "item_id": 1, "rating": 3.0})


def _idx(rows: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = gzip.compress(bytes(2**20)) * 63
        for part in ("train", "t10k"):
            for kind, header in (
                ("images-idx3", struct.pack(">4I", 0x0803, rows, 28, 28)),
                ("labels-idx1", struct.pack(">2I", 0x0801, rows)),
            ):
                (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header) + content)

    return write


def _npz(folder: Path) -> None:
    np.savez_compressed(folder / "a.npz", x=np.zeros(2**25))


def _png(side: int) -> Callable[[Path], None]:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def write(folder: Path) -> None:
        header = struct.pack(">2I5B", side, side, 16, 6, 0, 0, 1)  # 16 bits, with transparency, interlaced
        packer = zlib.compressobj(9)
        rows = b"".join(packer.compress(bytes(2**20)) for _ in range(min(side * side * 8 // 2**20, 2**10)))
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
        (folder / "a.png").write_bytes(content)

    return write


def _jpeg(side: int, **options: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        from PIL import Image

        Image.new("L", (side, side)).save(folder / "a.jpg", **options)
        content = (folder / "a.jpg").read_bytes()
        (folder / "a.jpg").write_bytes(content[: min(SIZE, len(content) - 1000)])

    return write


def _picture(folder: Path) -> None:
    pictures.check_picture(next(folder.glob("a.*")).name, folder)


def _one(name: str, read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda folder: read(folder / name)


def _all() -> dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]]:
    bombs: dict[str, Any] = {}
    for kind, make in _texts("ratings.csv.gz", "user_id,item_id,rating\n", "1,1,3\n").items():
        bombs[f"ratings, CSV: {kind}"] = make, _one("ratings.csv.gz", ratings.read)
    # Only a whole file shows whether it is latin-1.
    for kind, make in _texts("movies.csv.gz", "title,budget,revenue\n", "A,1,x\n").items():
        bombs[f"movies, CSV: {kind}"] = make, _one("movies.csv.gz", movies.load)
    for kind, make in _documents(_packed, "ratings.json.gz").items():
        bombs[f"ratings, JSON: {kind}"] = make, _one("ratings.json.gz", ratings.read)
    for kind, make in {
        "long texts": _parquet(_long_texts),
        "long texts, plain": _parquet(_long_texts, use_dictionary=False),
        "rows": lambda folder: _parquet(lambda: _rows(2**21))(folder),
        "more rows": lambda folder: _parquet(lambda: _rows(2**23))(folder),
    }.items():
        bombs[f"ratings, Parquet: {kind}"] = make, _one("t.parquet", ratings.read)
    for kind, rows in {"as it says": 63 * 2**20 // 784, "less than it says": 2**32 - 1, "more": 3}.items():
        bombs[f"fashion_mnist, IDX: {kind}"] = _idx(rows), fashion_mnist.load
    bombs["arrays, NPZ: zeros"] = _npz, _one("a.npz", files.read_arrays)
    for kind, make in _documents(_plain, "encoders.json").items():
        bombs[f"encoders, JSON: {kind}"] = make, _one("encoders.json", preprocessing.load_encoders)
    for side in (7000, 30_000):
        bombs[f"pictures, PNG: {side:,} wide"] = _png(side), _picture
    for side in (7000, 30_000, 56_000):
        for kind, options in {"": {}, ", progressive": {"progressive": True}}.items():
            bombs[f"pictures, JPEG: {side:,} wide{kind}"] = _jpeg(side, **options), _picture
    return bombs


BOMBS = _all()


def measure(name: str) -> float:
    """Reads a bomb in a process of its own, prints the peak of its memory in MiB, and gives it where it refuses."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.bombs", name, folder]
        subprocess.run([*command, "write"], check=True)
        done = subprocess.run([*command, "read"], check=True, capture_output=True, text=True)
    peak, outcome = done.stdout.split(" ", 1)
    print(f"{float(peak):6.0f} MiB  {name}: {outcome.strip()}", flush=True)
    return float(peak) if outcome.startswith("refused") else 0.0


def main() -> None:
    name, folder, what = sys.argv[1:]
    make, read = BOMBS[name]
    if what == "write":
        make(Path(folder))
        return
    try:
        read(Path(folder))
        outcome = "read"
    except KModelsError as error:
        outcome = f"refused: {str(error)[-120:]}"
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, outcome)


if __name__ == "__main__":
    main()
