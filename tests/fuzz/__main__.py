"""Feeds damaged files to the readers of `kmodels.datasets` and prints what became of them, by reader.

    python -m tests.fuzz --inputs 10000 --seed 0
    python -m tests.fuzz --bombs
    python -m tests.fuzz --reader 'movies, CSV' --seed 0 --number 17     # one input, its files kept

Exit code 1 if an input was not refused by a `DataError` and its table is not that of an independent reader.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from tests.fuzz import bombs, campaign


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--inputs", type=int, default=10_000)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--reader", default="", help="the start of a reader's name")
    flags.add_argument("--number", type=int, help="one input of one reader")
    flags.add_argument("--most", type=int, default=20, help="wrong inputs listed for each reader")
    flags.add_argument("--bombs", action="store_true", help="instead, the memory of small files that claim to be large")
    args = flags.parse_args()
    if args.bombs:
        peaks = {name: bombs.measure(name) for name in bombs.BOMBS if name.startswith(args.reader)}
        return int(max(peaks.values()) > bombs.MOST_MIB)
    if args.number is not None:
        folder = Path(tempfile.mkdtemp())
        outcome, why = campaign.judge(campaign.write_input(args.reader, args.seed, args.number, folder), folder)
        print(f"{folder}: {outcome}: {why}")
        return int(outcome not in ("refused", "equal"))
    outcomes = campaign.run(args.inputs, args.seed, args.reader)
    print(f"{'':20}", *(f"{outcome:>8}" for outcome in campaign.OUTCOMES))
    for name, outcome in outcomes.items():
        print(f"{name:20}", *(f"{outcome.counts[each]:8}" for each in campaign.OUTCOMES))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    for outcome in outcomes.values():
        print(*outcome.wrong[: args.most], sep="\n", end="\n" if outcome.wrong else "")
    return int(any(outcome.wrong for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
