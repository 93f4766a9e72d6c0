"""A training step of ResNet-18: each backend compared with a native torch loop of the same network.

    python benchmarks/resnet_step.py [--batch-size 32] [--size 128] [--steps 10]
        [--backends tensorflow,torch,jax] [--device gpu]

All do the same arithmetic on the same pictures: forward and backward pass, cross-entropy, Adam, float32, batch
normalisation in training. kmodels' side is `compile_model` and `fit` on arrays in memory, as a recipe has it. Each side
is a process of its own; they take turns for several rounds in this one call, so that each ratio is of one run, and the
fastest round of each side counts. All compute on the CPU, or all on a GPU. Needs a machine without other load, which
is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CLASSES = 1000
ON_DEVICE = {"cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}, "gpu": {}}


def data(batch_size: int, size: int, steps: int) -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    n = batch_size * steps
    return rng.normal(size=(n, size, size, 3)).astype("float32"), rng.integers(0, CLASSES, n).astype("int32")


def native_torch(batch_size: int, size: int, steps: int, device: str) -> float:
    """Seconds a step of a plain loop."""
    import torch
    from torch_resnet import ResNet

    pictures, target = data(batch_size, size, steps)
    pictures = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
    target = torch.from_numpy(target).long()
    kind = "cuda" if device == "gpu" else "cpu"
    net = ResNet("resnet18", CLASSES).train().to(kind)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def epoch() -> None:
        for x, y in zip(pictures.split(batch_size), target.split(batch_size), strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x.to(kind)), y.to(kind)).backward()
            optimizer.step()
        if device == "gpu":
            torch.cuda.synchronize()

    return timed(epoch, steps)


def kmodels_fit(batch_size: int, size: int, steps: int, device: str) -> float:
    """Seconds a step of `fit`."""
    import keras

    from kmodels import backend, training
    from kmodels.models import presets, resnet
    from kmodels.pipelines import Batches

    if backend.device() != device:
        raise SystemExit(f"{backend.name()} computes on the {backend.device()}, not on the {device}")
    pictures, target = data(batch_size, size, steps)
    net = resnet(**presets.RESNET[18], input_shape=(size, size, 3), classes=CLASSES)
    model = keras.Model({"image": net.input}, net.output)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(1e-3), loss=loss, metrics=())
    batches = Batches({"image": pictures}, target, batch_size=batch_size)
    return timed(lambda: model.fit(batches, shuffle=False, verbose=0), steps)


def timed(epoch: Any, steps: int) -> float:
    epoch()  # compiles and fills caches
    started = time.perf_counter()
    epoch()
    return (time.perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int, default=128, help="height and width of the pictures")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", default="tensorflow,torch,jax")
    parser.add_argument("--device", choices=tuple(ON_DEVICE), default="cpu")
    parser.add_argument("--child", choices=("native", "kmodels"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run = native_torch if args.child == "native" else kmodels_fit
        args.json.write_text(json.dumps(run(args.batch_size, args.size, args.steps, args.device)))
        return
    sides = {"native torch": ("native", {})}
    sides |= {f"kmodels, {name}": ("kmodels", {"KERAS_BACKEND": name}) for name in args.backends.split(",")}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "seconds.json"
        for i in range(args.rounds):
            for side, (child, environment) in sides.items():
                print(f"round {i + 1}, load average {os.getloadavg()[0]:.2f}: {side}", file=sys.stderr, flush=True)
                settings = ["--batch-size", str(args.batch_size), "--size", str(args.size), "--steps", str(args.steps)]
                settings += ["--device", args.device]
                command = [sys.executable, __file__, "--child", child, "--json", str(out), *settings]
                subprocess.run(
                    command,
                    check=True,
                    env=os.environ | ON_DEVICE[args.device] | environment,
                    stdout=subprocess.DEVNULL,
                )
                seconds[side].append(json.loads(out.read_text()))
    native = min(seconds["native torch"])
    where = f"{args.device}, {os.cpu_count()} cores"
    print(f"ResNet-18, batch {args.batch_size}, {args.size} × {args.size} × 3, Adam, {where}")
    for side, times in seconds.items():
        print(f"{side:22} {min(times) * 1000:8.0f} ms a step, {native / min(times):.2f} × native torch's speed")


if __name__ == "__main__":
    main()
