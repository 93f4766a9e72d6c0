"""Makes the bundled samples: synthetic data in the real formats, with a planted structure and known floors.

python data/make_samples.py movielens            writes the files, in a second
python data/make_samples.py movielens --floors   also computes, prints and writes the floors, in half a minute
python data/make_samples.py purchases            and so on, for each of the samples
python data/make_samples.py pois --rows 3000 --out DIR    a larger set of places, from the same tables

What the files hold and what the floors mean is in data/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import planted_garments
import planted_movies
import planted_pois
import planted_purchases
import planted_ratings

HERE = Path(__file__).resolve().parent


def make_movielens(folder: Path, with_floors: bool) -> None:
    """Writes ratings.dat, users.dat and movies.dat in MovieLens-1M's format, and floors.json if asked for."""
    world = planted_ratings.plant(seed=2003)
    genres = np.array(planted_ratings.GENRES)
    ratings = zip(
        (world.user + 1).tolist(),
        world.film_id[world.film].tolist(),
        world.stars.tolist(),
        world.timestamp.tolist(),
        strict=True,
    )
    users = zip(
        range(1, planted_ratings.N_USERS + 1),
        np.array(["F", "M"])[world.gender].tolist(),
        planted_ratings.AGES[world.age].tolist(),
        world.occupation.tolist(),
        world.zip_codes,
        strict=True,
    )
    films = zip(world.film_id.tolist(), world.titles, ("|".join(genres[row]) for row in world.genres), strict=True)
    for name, rows in (("ratings.dat", ratings), ("users.dat", users), ("movies.dat", films)):
        text = "".join("::".join(map(str, row)) + "\n" for row in rows)
        # Bytes, so that the line ends are the same on every system.
        (folder / name).write_bytes(text.encode("latin-1"))
    if with_floors:
        found = {name: round(value, 4) for name, value in planted_ratings.floors(world).items()}
        (folder / "floors.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for name, value in found.items():
            print(f"{name:18} {'NDCG@10' if name.endswith('ranking') else 'RMSE'} {value:.4f}")


def make_purchases(folder: Path, with_floors: bool) -> None:
    """Writes purchases.csv in the Black Friday table's columns and groups.csv, and floors.json if asked for."""
    world = planted_purchases.plant(planted_purchases.SAMPLE, planted_purchases.SEED)
    planted_purchases.write(world, folder)
    if with_floors:
        planted_purchases.write_floors(world, folder)


#: Name on the command line -> the sample's folder and the function that fills it.
SAMPLES: dict[str, tuple[str, Callable[[Path, bool], None]]] = {
    "fashion": ("fashion-sample", planted_garments.write),
    "movielens": ("movielens-sample", make_movielens),
    "movies": ("movies-sample", planted_movies.write),
    "pois": ("pois-sample", planted_pois.write),
    "purchases": ("purchases-sample", make_purchases),
}


def main() -> None:
    """Reads the command line and makes one sample."""
    summary, _, commands = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=commands, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sample", choices=SAMPLES, help="which sample to make")
    parser.add_argument("--floors", action="store_true", help="also compute the floors and write floors.json")
    parser.add_argument("--rows", type=int, help=f"of pois: how many places to make (default: {planted_pois.ROWS})")
    parser.add_argument("--out", type=Path, default=HERE, help="parent of the sample's folder (default: %(default)s)")
    args = parser.parse_args()
    folder_name, make = SAMPLES[args.sample]
    if args.rows is not None:
        if args.sample != "pois" or args.rows < 3:
            parser.error("--rows goes with the sample pois, and is 3 or more")
        make = partial(planted_pois.write, rows=args.rows)
    folder = args.out / folder_name
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, args.floors)
    print(f"made {folder}")


if __name__ == "__main__":
    main()
