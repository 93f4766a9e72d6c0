"""Pictures a second from JPEG files: kmodels' pipeline compared with a torch DataLoader that does the same work.

    python benchmarks/picture_pipeline.py [--pictures 2000] [--source 256] [--size 128] [--batch-size 32]

Both sides open the same generated JPEG files, decode them whole, resize them by PIL (bilinear, antialiased) and give
shuffled batches of uint8 (batch, size, size, 3); the pixels are checked to be equal. The torch side is a Dataset with
PIL transforms under torch's DataLoader, in turn with each number of worker processes; it decodes in each epoch.
kmodels' side is `Batches` with a part `Pictures`, which decodes in the first epoch alone: cached in memory, in a
folder, and in that folder in a later run; and without a cache, as the loader works. Nothing trains: the figures are
upper bounds.

With --source above twice the size, kmodels lets a JPEG be unpacked at a half, a quarter or an eighth (draft mode),
which is less work and gives other pixels; --draft lets the torch side do so too.

Each side is a process of its own; the files are in the system's page cache for all. In each round all sides run by
turns, and each rate is divided by the DataLoader's best first epoch of that round; the medians of the rounds count, as
a shared machine's speed varies between rounds. Needs a machine without other load, which is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def generate(folder: Path, pictures: int, side: int) -> None:
    """JPEG files with the detail and the size of photographs."""
    rng = np.random.default_rng(0)
    for i in range(pictures):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-12, 13, (side, side, 1), dtype=np.int16)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(folder / f"{i:06d}.jpg", quality=88)


def clocked(epoch: Callable[[], Iterable[Any]], rows: int) -> float:
    """Pictures a second of one epoch, the start of threads and processes included."""
    started = time.perf_counter()
    seen = sum(len(batch) for batch in epoch())
    assert seen == rows
    return rows / (time.perf_counter() - started)


def checksum(pictures: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(pictures))


def torch_side(paths: list[str], args: argparse.Namespace, workers: int) -> dict[str, Any]:
    import torch

    size = (args.size, args.size)
    # As in its worker processes: for stacking small pictures, more threads mostly wait for each other.
    torch.set_num_threads(1)

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            with Image.open(paths[index]) as image:
                if args.draft:
                    image.draft(None, (2 * args.size, 2 * args.size))
                picture = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(picture))

    loader = torch.utils.data.DataLoader(
        Files(), args.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    first = torch.stack([Files()[i] for i in range(args.batch_size)]).numpy()
    rates = [clocked(lambda: loader, len(paths)) for _ in range(2)]
    return {"first epoch": rates[0], "later epochs": rates[1], "checksum": checksum(first)}


def kmodels_side(paths: list[str], args: argparse.Namespace, memory: int, cache: str | None) -> dict[str, Any]:
    from kmodels.pipelines.batches import Batches
    from kmodels.pipelines.pictures import Pictures

    def make() -> Batches:
        part = Pictures(paths, (args.size, args.size), memory=memory, cache=cache)
        return Batches({}, np.zeros(len(paths)), parts=[part], batch_size=args.batch_size, shuffle=True)

    def epoch(batches: Batches, number: int) -> float:
        def images() -> Iterable[np.ndarray]:
            batches.set_epoch(number)
            return (batches[i][0]["image"] for i in range(len(batches)))

        return clocked(images, len(paths))

    first = Pictures(paths[: args.batch_size], (args.size, args.size))(np.arange(args.batch_size))["image"]
    batches = make()
    rates = [epoch(batches, number) for number in range(4)]
    result = {"first epoch": rates[0], "later epochs": max(rates[1:])}
    if cache is not None:
        result["later run, first epoch"] = epoch(make(), 0)
    return result | {"checksum": checksum(first)}


def child(args: argparse.Namespace) -> None:
    paths = sorted(str(path) for path in args.folder.glob("*.jpg"))
    kind, _, setting = args.child.partition(":")
    if kind == "torch":
        result = torch_side(paths, args, int(setting))
    elif setting == "disk":
        with tempfile.TemporaryDirectory(dir=args.folder) as cache:
            result = kmodels_side(paths, args, 0, cache)
    else:
        result = kmodels_side(paths, args, 2**31 if setting == "memory" else 0, None)
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--source", type=int, default=256, help="height and width of the files")
    parser.add_argument("--size", type=int, default=128, help="height and width that they are resized to")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", default="0,2", help="the torch side's numbers of worker processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draft", action="store_true", help="let the torch side use JPEG's draft mode, too")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    sides = [*(f"torch:{n}" for n in args.workers.split(",")), "kmodels:nothing kept", "kmodels:memory", "kmodels:disk"]
    rounds: list[dict[str, dict[str, float]]] = []
    checksums: set[int] = set()
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), args.pictures, args.source)
        environment = {"KERAS_BACKEND": "torch", **os.environ}
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}, load average {os.getloadavg()[0]:.2f}", flush=True)
            rounds.append({})
            for side in sides:
                command = [sys.executable, __file__, *sys.argv[1:], "--folder", scratch, "--child", side]
                done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
                result = json.loads(done.stdout.splitlines()[-1])
                checksums.add(result.pop("checksum"))
                rounds[-1][side] = result
    same = "the same pixels on all sides" if len(checksums) == 1 else "NOT the same pixels on all sides"
    print(f"\n{args.pictures} JPEG files of {args.source} x {args.source} to {args.size} x {args.size}: {same}")
    show(rounds)


def show(rounds: list[dict[str, dict[str, float]]]) -> None:
    reference = [max(rates["first epoch"] for side, rates in each.items() if "torch" in side) for each in rounds]
    print(f"{'':22s}{'':26s}{'pictures/s':>12s}{'ratio':>8s}  to the DataLoader's best first epoch")
    for side, names in rounds[0].items():
        for name in names:
            rates = [each[side][name] for each in rounds]
            ratios = [rate / base for rate, base in zip(rates, reference, strict=True)]
            print(
                f"{side:22s}{name:26s}{statistics.median(rates):12.0f}{statistics.median(ratios):8.2f}"
                f"  {min(ratios):.2f} to {max(ratios):.2f}"
            )
    print(f"medians of {len(rounds)} rounds; load average at the end {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
