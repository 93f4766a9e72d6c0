"""Training speed of `embedding_regressor` on each backend compared with a PyTorch loop, on the same tensors.

    python benchmarks/embedding_training.py                                   550,068 rows of Black Friday's shape
    python benchmarks/embedding_training.py --rows 20000 --backends jax       a quick look

Both sides train the same network (tables of 5,892 users and 3,632 products, nine columns, vectors of 16, dropout on the
ids, an MLP of 64 and 32), with Adam, the same batches and the same penalties, each in a process of its own. The loop is
written for speed: whole-batch indexing, fused Adam, penalties as weight decay. The first epoch, in which backends
compile, is left out; the best of the others counts. Ids are random: there is nothing to learn, the arithmetic is the
same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

IDS = {"user_id": 5892, "product_id": 3632}
COLUMNS = {
    "gender": 3,
    "age": 8,
    "occupation": 22,
    "city": 4,
    "stay": 6,
    "married": 3,
    "category_1": 21,
    "category_2": 19,
    "category_3": 17,
}
DIM, HIDDEN, DROPOUT, RATE = 16, (64, 32), 0.3, 4e-3
L2, BIAS_L2, COLUMN_L2 = 4e-5, 1e-5, 1e-6


def tensors(rows: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(1, size, rows).astype("int32") for name, size in {**COLUMNS, **IDS}.items()}
    return inputs, rng.normal(size=rows).astype("float32")


def keras_seconds(rows: int, batch_size: int, epochs: int) -> list[float]:
    import keras

    from kmodels import training
    from kmodels.features import Categorical
    from kmodels.models.embedding import Embedded, embedding_regressor
    from kmodels.pipelines import Batches

    inputs, target = tensors(rows)
    model = embedding_regressor(
        [Categorical(name, size) for name, size in COLUMNS.items()],
        embeddings=[
            Embedded(Categorical(name, size), l2=L2, bias_l2=BIAS_L2, dropout=DROPOUT) for name, size in IDS.items()
        ],
        dim=DIM,
        hidden=HIDDEN,
        l2=COLUMN_L2,
    )
    training.initialize(model, 0)
    training.compile_model(model, keras.optimizers.Adam(RATE))
    train = Batches(inputs, target, batch_size=batch_size, shuffle=True, drop_remainder=True)
    few = Batches({name: values[:batch_size] for name, values in inputs.items()}, target[:batch_size])
    with tempfile.TemporaryDirectory() as folder:
        return training.fit(model, train, few, epochs=epochs, folder=Path(folder))["seconds"].tolist()


def torch_seconds(rows: int, batch_size: int, epochs: int) -> list[float]:
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = {**COLUMNS, **IDS}
            self.numbers = nn.ModuleDict({name: nn.Embedding(size, 1) for name, size in sizes.items()})
            self.vectors = nn.ModuleDict({name: nn.Embedding(size, DIM) for name, size in sizes.items()})
            widths = [DIM * len(sizes), *HIDDEN]
            layers: list[nn.Module] = []
            for n_in, n_out in pairwise(widths):
                layers += [nn.Linear(n_in, n_out), nn.ReLU()]
            self.mlp = nn.Sequential(*layers)
            self.output = nn.Linear(HIDDEN[-1] + DIM * len(IDS), 1)
            self.dropout = nn.Dropout(DROPOUT)

        def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
            total = sum(self.numbers[name](ids) for name, ids in x.items())
            vectors = {name: self.vectors[name](ids) for name, ids in x.items()}
            rest, products = sum(vectors[name] for name in COLUMNS), []
            for name in IDS:
                vectors[name] = self.dropout(vectors[name])
                products.append(vectors[name] * rest)
                rest = rest + vectors[name]
            last = torch.cat([self.mlp(torch.cat(list(vectors.values()), dim=1)), *products], dim=1)
            return (total + self.output(last))[:, 0]

    inputs, target = tensors(rows)
    x, y = {name: torch.from_numpy(values) for name, values in inputs.items()}, torch.from_numpy(target)
    model = Network()
    groups = [{"params": [*model.mlp.parameters(), *model.output.parameters()], "weight_decay": 0.0}]
    for tables, penalty in ((model.numbers, BIAS_L2), (model.vectors, L2)):
        for name, table in tables.items():
            groups.append({"params": [table.weight], "weight_decay": 2 * (penalty if name in IDS else COLUMN_L2)})
    optimizer = torch.optim.Adam(groups, lr=RATE, fused=True)
    loss_of, seconds = nn.MSELoss(), []
    for _ in range(epochs):
        start = time.perf_counter()
        order = torch.randperm(rows)
        for first in range(0, rows - batch_size + 1, batch_size):
            some = order[first : first + batch_size]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model({name: values[some] for name, values in x.items()}), y[some])
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=550_068)
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--epochs", type=int, default=3, help="2 or more; the first is not counted")
    parser.add_argument("--backends", default="jax,tensorflow,torch")
    parser.add_argument("--child", choices=("keras", "torch"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = (args.rows, args.batch_size, args.epochs)
    if args.child:
        seconds = keras_seconds(*size) if args.child == "keras" else torch_seconds(*size)
        print(json.dumps(seconds))
        return
    runs = {"PyTorch by hand": ("torch", {})}
    runs |= {f"kmodels, {name}": ("keras", {"KERAS_BACKEND": name}) for name in args.backends.split(",")}
    rates = {}
    for name, (child, environment) in runs.items():
        print(f"load average {os.getloadavg()[0]:.2f}, running: {name}", flush=True)
        flags = [f"--rows={args.rows}", f"--batch-size={args.batch_size}", f"--epochs={args.epochs}"]
        done = subprocess.run(
            [sys.executable, __file__, "--child", child, *flags],
            check=True,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = json.loads(done.stdout.splitlines()[-1])
        rates[name] = args.rows // args.batch_size * args.batch_size / min(seconds[1:])
    print(f"\n{'':20s}{'samples/s':>12s}{'ratio':>8s}")
    for name, rate in rates.items():
        print(f"{name:20s}{rate:12,.0f}{rate / rates['PyTorch by hand']:8.2f}")
    print(f"load average at the end {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
