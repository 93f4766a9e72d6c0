"""Synthetic purchases in the Black Friday table's format, with a known structure and what it makes possible.

An amount is ``mu + a[category] + b[product] + w[user] + profile[gender, age, category] + job[occupation, category]
+ taste[group, category] + sigma[category] · eps``, with eps standard normal, rounded to whole units of currency from 1
up. Users come in groups that share a part of w, the taste for categories, and what they prefer to buy.

    python data/planted_purchases.py --out DIR      550,000 rows of Black Friday's shape, with their floors

People and products are invented. `make_samples.py` makes the bundled sample from the same generator.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from planted_purchases_floors import floors

SEED = 2018
MU = 9264.0
AGES = ("0-17", "18-25", "26-35", "36-45", "46-50", "51-55", "55+")
STAYS = ("0", "1", "2", "3", "4+")
N_CATEGORIES, N_OCCUPATIONS = 20, 21
# Rough shares of the users of the Black Friday table.
_MALE_SHARE, _MARRIED_SHARE = 0.72, 0.42
_AGE_SHARES = np.array([0.037, 0.181, 0.349, 0.198, 0.090, 0.082, 0.063])
_CITY_SHARES = np.array([0.18, 0.29, 0.53])
_STAY_SHARES = np.array([0.135, 0.353, 0.185, 0.173, 0.154])


@dataclass(frozen=True)
class Shape:
    """Sizes of a world, and the standard deviations of its effects in units of currency.

    Args:
        users: Number of users.
        products: Number of products.
        rows: Number of purchases.
        groups: Number of groups of users, all about as large.
        fewest: Purchases that every user has at least.
        most: Purchases that no user exceeds.
        sd_category: Of the categories' effects, over the rows (exactly).
        sd_product: Of the products' effects.
        sd_user: Of a user's own part of w.
        sd_group: Of the part of w that a group shares.
        sd_profile: Of each cell of gender, age and category.
        sd_job: Of each cell of occupation and category.
        sd_taste: Of each cell of group and category; 0: groups differ in w alone.
        noise: Root of the mean of sigma² over the rows (exactly).
    """

    users: int
    products: int
    rows: int
    groups: int
    fewest: int
    most: int
    sd_category: float
    sd_product: float
    sd_user: float
    sd_group: float
    sd_profile: float
    sd_job: float
    sd_taste: float
    noise: float


SAMPLE = Shape(
    users=300,
    products=300,
    rows=30_000,
    groups=6,
    fewest=25,
    most=200,
    sd_category=3900,
    sd_product=1200,
    sd_user=400,
    sd_group=600,
    sd_profile=200,
    sd_job=200,
    sd_taste=1500,
    noise=1300,
)
BLACK_FRIDAY = Shape(
    users=5891,
    products=3631,
    rows=550_000,
    groups=8,
    fewest=6,
    most=1026,
    sd_category=4280,
    sd_product=1200,
    sd_user=600,
    sd_group=360,
    sd_profile=440,
    sd_job=440,
    sd_taste=0,
    noise=2400,
)


@dataclass(frozen=True)
class Planted:
    """A drawn world: who bought what, what the model says of it, and what was paid.

    Args:
        shape: What it was drawn from.
        user: Shape (rows,), 0-based position of the user, ascending.
        product: Shape (rows,), 0-based position of the product.
        mean: Shape (rows,), the amount before noise, rounding and the lower end.
        sigma: Shape (rows,), standard deviation of the noise.
        amount: Shape (rows,), whole numbers from 1.
        by_product: Shape (rows,), the part of `mean` that is the product's.
        by_user: Shape (rows,), the part of `mean` that is the user's and the group's: w + taste.
        group: Shape (users,), 0-based.
        gender: Shape (users,), 0 woman, 1 man.
        age: Shape (users,), position in `AGES`.
        occupation: Shape (users,), code 0 to 20.
        city: Shape (users,), 0 to 2.
        stay: Shape (users,), position in `STAYS`.
        married: Shape (users,), 0 or 1.
        categories: Shape (products, 3), codes from 1; 0 is missing.
        user_id: Shape (users,), ids with gaps, ascending.
        product_id: Shape (products,), text, ascending.
    """

    shape: Shape
    user: np.ndarray
    product: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray
    amount: np.ndarray
    by_product: np.ndarray
    by_user: np.ndarray
    group: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    occupation: np.ndarray
    city: np.ndarray
    stay: np.ndarray
    married: np.ndarray
    categories: np.ndarray
    user_id: np.ndarray
    product_id: np.ndarray

    @property
    def category(self) -> np.ndarray:
        """Shape (rows,), 0-based first category of the product."""
        return self.categories[self.product, 0] - 1

    def cells(self) -> dict[str, tuple[np.ndarray, float]]:
        """Name of an effect -> its cell on each row, shape (rows,), 0-based, and its standard deviation."""
        shape, user, category = self.shape, self.user, self.category
        profile = (self.gender * len(AGES) + self.age)[user] * N_CATEGORIES + category
        return {
            "category": (category, shape.sd_category),
            "product": (self.product, shape.sd_product),
            "user": (user, shape.sd_user),
            "group": (self.group[user], shape.sd_group),
            "profile": (profile, shape.sd_profile),
            "job": (self.occupation[user] * N_CATEGORIES + category, shape.sd_job),
            "taste": (self.group[user] * N_CATEGORIES + category, shape.sd_taste),
        }


def plant(shape: Shape, seed: int) -> Planted:
    """Draws the whole world from one seed."""
    rng = np.random.default_rng(seed)
    users = {
        "group": rng.permutation(np.arange(shape.users) % shape.groups),
        "gender": (rng.random(shape.users) < _MALE_SHARE).astype(np.int64),
        "age": rng.choice(len(AGES), shape.users, p=_AGE_SHARES / _AGE_SHARES.sum()),
        "occupation": rng.choice(N_OCCUPATIONS, shape.users, p=_heavy_tail(rng, N_OCCUPATIONS)),
        "city": rng.choice(3, shape.users, p=_CITY_SHARES),
        "stay": rng.choice(len(STAYS), shape.users, p=_STAY_SHARES),
        "married": (rng.random(shape.users) < _MARRIED_SHARE).astype(np.int64),
    }
    categories = _draw_categories(rng, shape.products)
    user, product = _draw_pairs(rng, shape, users["group"], categories[:, 0] - 1)
    world = Planted(
        shape=shape,
        user=user,
        product=product,
        mean=np.zeros(0),
        sigma=np.zeros(0),
        amount=np.zeros(0),
        by_product=np.zeros(0),
        by_user=np.zeros(0),
        categories=categories,
        user_id=1_000_001 + np.sort(rng.choice(shape.users * 41 // 40, shape.users, replace=False)),
        product_id=np.array([f"P{code:08d}" for code in _draw_codes(rng, shape.products)]),
        **users,
    )
    return _draw_amounts(rng, world)


def _heavy_tail(rng: np.random.Generator, size: int) -> np.ndarray:
    """Shares that fall off like 1 / (rank + 2), in a random order."""
    shares = 1 / (np.arange(size) + 3.0)
    return rng.permutation(shares / shares.sum())


def _draw_codes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Distinct product numbers below 400,000, ascending."""
    return np.sort(rng.choice(np.arange(100, 400_000), size, replace=False))


def _draw_categories(rng: np.random.Generator, products: int) -> np.ndarray:
    """Draws each product's three categories; whether the second and third are missing depends on the first."""
    # Every category has a product, so that each effect can be seen.
    first = np.concatenate([np.arange(N_CATEGORIES), rng.choice(N_CATEGORIES, products, p=_heavy_tail(rng, 20))])
    first = rng.permutation(first[:products])
    n_more = rng.permutation(np.repeat([0, 1, 2], [7, 7, 6]))[first]
    options = np.stack([rng.choice(np.arange(2, 19), 4, replace=False) for _ in range(N_CATEGORIES)])[first]
    pick = rng.integers(0, 2, (2, products))
    rows = np.arange(products)
    second = np.where(n_more >= 1, options[rows, pick[0]], 0)
    third = np.where(n_more == 2, options[rows, 2 + pick[1]], 0)
    return np.column_stack([first + 1, second, third])


def _draw_pairs(
    rng: np.random.Generator, shape: Shape, group: np.ndarray, category: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draws who buys what: both sides heavy-tailed, groups with a liking for categories, no pair twice."""
    most = min(shape.most, shape.products)
    if not shape.users * shape.fewest <= shape.rows <= shape.users * most:
        raise ValueError(f"{shape.users} users with {shape.fewest} to {most} purchases each cannot make {shape.rows}")
    surplus = rng.lognormal(0, 1.0, shape.users)
    room, wanted = most - shape.fewest, shape.rows - shape.users * shape.fewest
    # The others make up for what `most` cuts off.
    for _ in range(50):
        surplus = np.minimum(surplus * wanted / surplus.sum(), room)
    activity = shape.fewest + np.floor(surplus).astype(np.int64)
    activity[rng.permutation(np.flatnonzero(surplus < room))[: shape.rows - activity.sum()]] += 1
    popularity = rng.permutation((np.arange(shape.products) / shape.products * 300 + 6.0) ** -1.3)
    liking = rng.normal(0, 0.5, (shape.groups, N_CATEGORIES))[:, category] + np.log(popularity)
    chosen = []
    for start in range(0, shape.users, 512):
        block = slice(start, start + 512)
        # The first n of a ranking by log weight + Gumbel noise are n draws without replacement.
        score = liking[group[block]] + rng.gumbel(size=(len(group[block]), shape.products))
        ranking = np.argsort(-score, axis=1)
        chosen.append(ranking[np.arange(shape.products) < activity[block, None]])
    return np.repeat(np.arange(shape.users), activity), np.concatenate(chosen)


def _draw_amounts(rng: np.random.Generator, world: Planted) -> Planted:
    """Draws the effects, and from them means and amounts."""
    effects = {}
    for name, (cell, deviation) in world.cells().items():
        size = N_CATEGORIES if name == "category" else int(cell.max()) + 1
        effects[name] = rng.normal(0, deviation, size)[cell]
    # Skewed, so that many categories are cheap, some are dear, and none is so cheap that amounts would often end at 1.
    skewed = -np.log1p(-(rng.permutation(N_CATEGORIES) + 0.5) / N_CATEGORIES)[world.category]
    effects["category"] = (skewed - skewed.mean()) / skewed.std() * world.shape.sd_category
    mean = MU + sum(effects.values())
    sigma = np.sqrt(MU + effects["category"])
    sigma *= world.shape.noise / np.sqrt(np.mean(sigma**2))
    amount = np.maximum(np.rint(mean + sigma * rng.standard_normal(len(mean))), 1).astype(np.int64)
    by_user = effects["user"] + effects["group"] + effects["taste"]
    return replace(world, mean=mean, sigma=sigma, amount=amount, by_product=effects["product"], by_user=by_user)


def write(world: Planted, folder: Path) -> None:
    """Writes purchases.csv in the Black Friday table's columns, and groups.csv, which no model may read."""
    user, product = world.user, world.product
    codes = np.array(["", *map(str, range(1, 21))])
    table = pd.DataFrame(
        {
            "User_ID": world.user_id[user],
            "Product_ID": world.product_id[product],
            "Gender": np.array(["F", "M"])[world.gender[user]],
            "Age": np.array(AGES)[world.age[user]],
            "Occupation": world.occupation[user],
            "City_Category": np.array(["A", "B", "C"])[world.city[user]],
            "Stay_In_Current_City_Years": np.array(STAYS)[world.stay[user]],
            "Marital_Status": world.married[user],
            **{f"Product_Category_{i + 1}": codes[world.categories[product, i]] for i in range(3)},
            "Purchase": world.amount,
        }
    )
    groups = pd.DataFrame({"User_ID": world.user_id, "Group": world.group + 1})
    for name, content in (("purchases.csv", table), ("groups.csv", groups)):
        # Bytes, so that the line ends are the same on every system.
        (folder / name).write_bytes(content.to_csv(index=False, lineterminator="\n").encode("ascii"))


def write_floors(world: Planted, folder: Path) -> None:
    """Computes, prints and writes the floors."""
    found = {name: round(value, 4 if value < 1 else 2) for name, value in floors(world).items()}
    (folder / "floors.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, value in found.items():
        print(f"{name:32} {value}")


def main() -> None:
    """Reads the command line and writes a world of Black Friday's shape."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--rows", type=int, default=BLACK_FRIDAY.rows, help="purchases (default: %(default)s)")
    parser.add_argument("--users", type=int, default=BLACK_FRIDAY.users, help="default: %(default)s")
    parser.add_argument("--products", type=int, default=BLACK_FRIDAY.products, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    args = parser.parse_args()
    shape = replace(BLACK_FRIDAY, rows=args.rows, users=args.users, products=args.products)
    world = plant(shape, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    write(world, args.out)
    write_floors(world, args.out)
    print(f"made {args.out}")


if __name__ == "__main__":
    main()
