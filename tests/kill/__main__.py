"""Kills runs of every recipe, and a search of two processes, at random and at the files they write; then compares.

    python -m tests.kill --kills 100 --seed 0           all, on JAX
    python -m tests.kill --kills 8 --backends torch     a look at another backend

A run is killed (SIGKILL) a few times and resumed by the same command with --resume; then it is resumed to its end. What
it leaves must equal what an undisturbed run of the same command leaves: metrics, histories, weights, encoders, the
list of files. Half of the kills come at a random time, from start to end; the others just before or after a file is put
in its place, which reaches evaluation, report and export. Exits with 1 if something differs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.kill.runs import Job, differences, finish, kill_after, kill_at_write

CHAIN = 4  # kills before a run is resumed to its end
JOBS = {
    "movielens": ("--model", "enhanced", "--epochs", "3", "--batch-size", "2048"),
    "matrix_factorization": ("--epochs", "2"),
    "purchases": ("--epochs", "2"),
    "tabular": ("--epochs", "2"),
    "movie_profit": ("--epochs", "2"),
    "poi_engagement": ("--epochs", "2"),
    "fashion_mnist": ("--variants", "base,narrow", "--epochs", "2"),
    "search": ("--model", "history", "--epochs", "2", "--tune", "random", "--trials", "3", "--workers", "2"),
}


def kill(job: Job, folder: Path, kills: int, rng: np.random.Generator) -> tuple[int, set[str], list[str]]:
    """Kills a job that often, in chains; the kills, the files they hit, and how the ends differ from a whole run."""
    whole = folder / "whole" / "run"
    whole.parent.mkdir(parents=True)
    seconds, files = finish(job, whole, resume=False)
    done, faults, chains = 0, [], itertools.count(1)
    reached: set[str] = set()
    while done < kills:
        out = folder / f"chain{next(chains)}" / "run"
        out.parent.mkdir()
        try:
            for k in range(min(CHAIN, kills - done)):
                resume = (out / "config.json").exists()
                if rng.random() < 0.5:
                    left = 1 / (1 + k / 2)  # of a run that earlier kills have brought forward
                    killed = kill_after(job, out, rng.uniform(0.2, 1) * seconds * left, resume=resume)
                else:
                    position, when = int(rng.integers(len(files))), str(rng.choice(["before", "after"]))
                    count = 1 if resume else files[: position + 1].count(files[position])
                    killed = kill_at_write(job, out, files[position], count, when, resume=resume)
                    reached |= {files[position]} if killed else set()
                done += killed
                if not killed:
                    break
            finish(job, out, resume=(out / "config.json").exists())
        except RuntimeError as error:
            faults.append(str(error))
        else:
            faults += differences(whole, out)
    return done, reached, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="over all jobs; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the times and places of the kills; default: 0")
    parser.add_argument("--jobs", default=",".join(JOBS), help="with commas; default: %(default)s")
    parser.add_argument("--backends", default="jax", help="with commas; default: %(default)s")
    args = parser.parse_args()
    jobs = [(name, backend) for backend in args.backends.split(",") for name in args.jobs.split(",")]
    shares = np.diff(np.linspace(0, args.kills, len(jobs) + 1).round().astype(int))
    failed = 0
    for i, ((name, backend), kills) in enumerate(zip(jobs, shares, strict=True)):
        job = Job("movielens" if name == "search" else name, JOBS[name], backend)
        with tempfile.TemporaryDirectory() as folder:
            # A kill leaves half an entry there, of which JAX warns from then on.
            os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/jax"
            done, reached, faults = kill(job, Path(folder), int(kills), np.random.default_rng((args.seed, i)))
        print(f"{name} on {backend}: {done} kills, {len(faults)} differences", flush=True)
        print(f"    at {', '.join(sorted(reached))}", flush=True)
        for fault in faults:
            print(f"    {fault}", flush=True)
        failed += len(faults)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
