"""Time and memory of `serving.similar` compared with scikit-learn's brute-force neighbours, on the same vectors.

    python benchmarks/similar.py                            10 nearest of 100 users among 1,000,000 vectors of 64
    python benchmarks/similar.py --rows 20000 --queries 20  a quick look

Each runs in a process of its own. Memory is the process's peak above that after its imports: the vectors and all
intermediate results; the last column is its ratio to the size of the vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

NAMES = ("kmodels", "sklearn")


def vectors(rows: int, dim: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, dim), dtype=np.float32)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(name: str, rows: int, dim: int, queries: int, n: int) -> dict:
    """Asks row 1 and on for their nearest; both sides find the same rows."""
    ids = np.arange(1, queries + 1)
    if name == "kmodels":
        from kmodels.serving import neighbours

        before = peak()
        table = vectors(rows, dim)
        start = time.perf_counter()
        found, _ = neighbours.search(table, ids, n)
    else:
        from sklearn.neighbors import NearestNeighbors

        before = peak()
        table = vectors(rows, dim)
        start = time.perf_counter()
        # Row 0 stands for unknown ids in kmodels and is never found; a user is the own nearest neighbour here.
        index = NearestNeighbors(n_neighbors=n + 1, metric="cosine", algorithm="brute").fit(table[1:])
        found = index.kneighbors(table[ids], return_distance=False)[:, 1:] + 1
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak() - before, "table_bytes": table.nbytes, "found": found.tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--queries", type=int, default=100, help="users whose neighbours are looked up")
    parser.add_argument("--n", type=int, default=10, help="neighbours of each")
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = (args.rows, args.dim, args.queries, args.n)
    if args.child:
        print(json.dumps(measure(args.child, *size)))
        return
    print(f"{args.rows:,} vectors of {args.dim}, {args.queries} queries, {args.n} each; {os.cpu_count()} cores")
    results = {}
    for name in NAMES:
        flags = [f"--{flag}={value}" for flag, value in zip(("rows", "dim", "queries", "n"), size, strict=True)]
        command = [sys.executable, __file__, "--child", name, *flags]
        print(f"load average {os.getloadavg()[0]:.2f}, running: {name}", flush=True)
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{'':10s}{'seconds':>10s}{'MiB':>10s}{'x table':>10s}")
    for name, result in results.items():
        memory = result["bytes"]
        print(f"{name:10s}{result['seconds']:10.2f}{memory / 2**20:10.0f}{memory / result['table_bytes']:10.2f}")
    alike = np.mean(np.array(results["kmodels"]["found"]) == np.array(results["sklearn"]["found"]))
    ratio = results["sklearn"]["seconds"] / results["kmodels"]["seconds"]
    print(f"kmodels takes 1/{ratio:.1f} of scikit-learn's time; {100 * alike:.2f} % of the neighbours are the same")


if __name__ == "__main__":
    main()
