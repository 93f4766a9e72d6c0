"""A small CNN on Fashion-MNIST: accuracy and speed of each backend compared with a PyTorch loop.

    python benchmarks/fashion_training.py DIR [--variant narrow] [--epochs 3] [--seeds 3] [--backends tensorflow,torch]
        [--device gpu]

DIR holds the four files of Fashion-MNIST. All sides train the same network with Adam on the same batches in the same
order, without augmentation, on all training pictures, and are tested after each epoch; the spread of one side's seeds
(weights and order) is the noise within which the curves of two sides must agree. Each run is a process of its own; the
sides take turns in one call, all on the CPU or all on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH, RATE = 128, 1e-3
FILTERS = {"narrow": (8, 20), "base": (32, 64)}
DROPOUT = {"narrow": 0.0, "base": 0.3}
ON_DEVICE = {"cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}, "gpu": {}}
Epochs = list[tuple[float, float]]


def timed(epoch: Callable[[int], None], accuracy: Callable[[], float], epochs: int) -> Epochs:
    """Seconds and test accuracy of each epoch."""
    result = []
    for number in range(epochs):
        started = time.perf_counter()
        epoch(number)
        seconds = time.perf_counter() - started
        result.append((seconds, accuracy()))
    return result


def kmodels_epochs(data: Any, variant: str, epochs: int, seed: int, device: str) -> Epochs:
    import keras

    from kmodels import backend, training
    from kmodels.models import cnn, presets
    from kmodels.pipelines import Batches

    if backend.device() != device:
        raise SystemExit(f"{backend.name()} computes on the {backend.device()}, not on the {device}")
    model = cnn(**presets.CNN[variant])
    training.initialize(model, seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(RATE), loss=loss, metrics=())
    train = Batches(
        {"image": data.train_images},
        data.train_labels,
        batch_size=BATCH,
        shuffle=True,
        seed=seed,
        drop_remainder=True,
    )
    test = Batches({"image": data.test_images}, batch_size=500)

    def epoch(number: int) -> None:
        train.set_epoch(number)
        model.fit(train, verbose=0, shuffle=False)

    def accuracy() -> float:
        return float((training.predict(model, test).argmax(axis=1) == data.test_labels).mean())

    return timed(epoch, accuracy, epochs)


def torch_epochs(data: Any, variant: str, epochs: int, seed: int, device: str) -> Epochs:
    import torch
    from torch import nn

    torch.manual_seed(seed)
    first, second = FILTERS[variant]
    model = nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(DROPOUT[variant]),
        nn.Linear(49 * second, 10),
    )
    for layer in model:  # as Keras draws them: torch's own draws for the last layer are two and a half times smaller
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    kind = "cuda" if device == "gpu" else "cpu"
    model.to(kind)
    optimizer, loss_of = torch.optim.Adam(model.parameters(), lr=RATE, fused=True), nn.CrossEntropyLoss()
    images = torch.from_numpy(data.train_images).permute(0, 3, 1, 2).to(kind)
    labels = torch.from_numpy(data.train_labels.astype(np.int64)).to(kind)
    tests = torch.from_numpy(data.test_images).permute(0, 3, 1, 2).to(kind)

    def epoch(number: int) -> None:
        model.train()
        order = np.arange(len(labels))
        np.random.default_rng((seed, number)).shuffle(order)  # as kmodels' batches
        rows = torch.from_numpy(order).to(kind)
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            some = rows[start : start + BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(images[some].float() / 255), labels[some])
            loss.backward()
            optimizer.step()
        if device == "gpu":
            torch.cuda.synchronize()

    def accuracy() -> float:
        model.eval()
        with torch.no_grad():
            said = [model(part.float() / 255).argmax(1) for part in tests.split(500)]
        return float((torch.cat(said).cpu().numpy() == data.test_labels).mean())

    return timed(epoch, accuracy, epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with Fashion-MNIST's four files")
    parser.add_argument("--variant", choices=tuple(FILTERS), default="narrow")
    parser.add_argument("--epochs", type=int, default=3, help="2 or more; the first is not timed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backends", default="tensorflow,torch")
    parser.add_argument("--device", choices=tuple(ON_DEVICE), default="cpu")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        from kmodels.datasets import fashion_mnist

        run = torch_epochs if args.child[0] == "torch" else kmodels_epochs
        print(
            json.dumps(run(fashion_mnist.load(args.folder), args.variant, args.epochs, int(args.child[1]), args.device))
        )
        return
    sides: dict[str, tuple[str, dict[str, str]]] = {"PyTorch by hand": ("torch", {})}
    sides |= {f"kmodels, {name}": ("kmodels", {"KERAS_BACKEND": name}) for name in args.backends.split(",")}
    found: dict[str, list[Epochs]] = {side: [] for side in sides}
    for seed in range(args.seeds):
        for side, (child, environment) in sides.items():
            print(f"load average {os.getloadavg()[0]:.2f}, seed {seed}: {side}", file=sys.stderr, flush=True)
            command = [sys.executable, __file__, *sys.argv[1:], "--child", child, str(seed)]
            env = os.environ | ON_DEVICE[args.device] | environment
            done = subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    native = min(seconds for run in found["PyTorch by hand"] for seconds, _ in run[1:])
    print(f"{args.variant}, test accuracy by epoch, mean ± standard deviation of {args.seeds} seeds")
    for side, runs in found.items():
        accuracy = np.array([[value for _, value in run] for run in runs])
        curve = "  ".join(f"{m:.4f} ± {s:.4f}" for m, s in zip(accuracy.mean(0), accuracy.std(0, ddof=1), strict=True))
        best = min(seconds for run in runs for seconds, _ in run[1:])
        print(f"{side:22} {curve}  {best:6.1f} s an epoch, {native / best:.2f} × by hand")
    print(f"load average at the end {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores, {args.device}")


if __name__ == "__main__":
    main()
