"""The purchases sample: made again byte for byte, and with the floors that data/README.md states."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLE = DATA / "purchases-sample"


@pytest.fixture(scope="module")
def planted():
    sys.path.insert(0, str(DATA))
    try:
        import planted_purchases
    finally:
        sys.path.remove(str(DATA))
    return planted_purchases


@pytest.fixture(scope="module")
def floor_module(planted):
    return sys.modules["planted_purchases_floors"]


@pytest.fixture(scope="module")
def world(planted):
    return planted.plant(planted.SAMPLE, planted.SEED)


@pytest.fixture(scope="module")
def small(planted):
    """A world small enough for dense algebra, with every effect in it."""
    shape = replace(planted.SAMPLE, users=12, products=24, rows=240, fewest=15, most=24, groups=3)
    return planted.plant(shape, seed=1)


@pytest.fixture(scope="module")
def floors():
    return json.loads((SAMPLE / "floors.json").read_text())


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(SAMPLE / "purchases.csv")


def test_making_the_sample_again_gives_the_same_bytes(tmp_path):
    command = [sys.executable, str(DATA / "make_samples.py"), "purchases", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    made = tmp_path / "purchases-sample"
    assert sorted(file.name for file in made.iterdir()) == ["groups.csv", "purchases.csv"]
    for file in made.iterdir():
        assert file.read_bytes() == (SAMPLE / file.name).read_bytes(), file.name


def test_another_seed_gives_another_world(planted, world):
    assert not np.array_equal(planted.plant(planted.SAMPLE, 1).amount[:100], world.amount[:100])


def test_the_file_holds_the_world(world, table):
    assert (SAMPLE / "purchases.csv").stat().st_size < 1.5e6
    assert (table["Purchase"] == world.amount).all()
    assert (table["User_ID"] == world.user_id[world.user]).all()
    assert (table["Product_ID"] == world.product_id[world.product]).all()
    groups = pd.read_csv(SAMPLE / "groups.csv").set_index("User_ID")["Group"]
    assert (groups[table["User_ID"]].to_numpy() - 1 == world.group[world.user]).all()
    assert groups.value_counts().tolist() == [50] * 6


def test_shape_of_the_sample(table):
    assert len(table) == 30_000
    assert not table.duplicated(["User_ID", "Product_ID"]).any()
    counts = {column: table[column].value_counts() for column in ("User_ID", "Product_ID")}
    summary = {column: (count.min(), int(count.median()), count.max()) for column, count in counts.items()}
    assert summary == {"User_ID": (30, 87, 200), "Product_ID": (22, 78, 299)}
    for count in counts.values():
        assert count.iloc[: len(count) // 10].sum() > 0.19 * len(table)
    assert table["Purchase"].min() == 1
    assert table.groupby("User_ID")[["Gender", "Age", "Occupation", "City_Category"]].nunique().max().max() == 1


def test_categories_2_and_3_are_missing_by_category_1(table):
    missing = table[["Product_Category_2", "Product_Category_3"]].isna()
    assert (missing.groupby(table["Product_Category_1"]).nunique() == 1).all(axis=None)
    # Where the second is missing, so is the third.
    assert missing["Product_Category_3"][missing["Product_Category_2"]].all()
    assert 0.2 < missing["Product_Category_2"].mean() < missing["Product_Category_3"].mean() < 0.9


@pytest.mark.parametrize(("mean", "sigma"), [(9000, 1500), (900, 1000), (-400, 700)])
def test_expected_amount_agrees_with_enumeration(floor_module, mean, sigma):
    # Every outcome from 1 to far above, each with its exact probability.
    outcome = np.arange(1, 20_000)
    upper = norm.cdf(outcome + 0.5, mean, sigma)
    probability = np.diff(upper, prepend=0)
    expected = (outcome * probability).sum()
    variance = ((outcome - expected) ** 2 * probability).sum()
    found = floor_module.expected_amount(np.array([float(mean)]), np.array([float(sigma)]))
    assert found[0][0] == pytest.approx(expected, abs=0.5)
    assert found[1][0] == pytest.approx(variance, rel=2e-3)


def test_amounts_are_draws_of_the_stated_law(floor_module, world, floors):
    expectation, variance = floor_module.expected_amount(world.mean, world.sigma)
    z = (world.amount - expectation) / np.sqrt(variance)
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(z)))
    # The lower end takes little off the noise that was planted.
    assert np.sqrt(np.mean(world.sigma**2)) == pytest.approx(1300)
    assert floors["oracle"] == pytest.approx(1300, rel=2e-3)
    assert (world.amount == 1).mean() < 0.004


def test_spend_groups_and_their_probabilities(floor_module):
    amounts = np.array([4999, 5000, 9999, 10_000, 15_000, 15_001])
    assert floor_module.spend_group(amounts).tolist() == [0, 1, 1, 2, 2, 3]
    rng = np.random.default_rng(0)
    drawn = np.rint(rng.normal(9000, 4000, 200_000))
    shares = np.bincount(floor_module.spend_group(drawn), minlength=4) / len(drawn)
    found = floor_module.group_probabilities(np.array([9000.0]), np.array([4000.0]))
    np.testing.assert_allclose(found[0], shares, atol=0.005)


def test_blup_is_the_conditional_mean_of_a_normal(floor_module, small):
    train = floor_module.random_split(len(small.amount), 0.8, 0)
    cells = list(small.cells().values())
    found = floor_module.blup(small, train, cells)
    # The same as a Gaussian process: Cov(new, old) · Cov(old, old)⁻¹ · y.
    covariance = np.full((len(train), len(train)), 1e10)
    for cell, deviation in cells:
        covariance += deviation**2 * (cell[:, None] == cell)
    old = covariance[np.ix_(train, train)] + np.diag(small.sigma[train] ** 2)
    expected = covariance[:, train] @ np.linalg.solve(old, small.amount[train].astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1)


def test_uncertainty_is_exact_for_a_single_effect(planted, floor_module, small):
    lone = {name: 0 for name in ("sd_product", "sd_group", "sd_profile", "sd_job", "sd_taste", "sd_category")}
    world = replace(small, shape=replace(small.shape, **lone))
    train = floor_module.random_split(len(world.amount), 0.8, 0)
    covariance = world.shape.sd_user**2 * (world.user[:, None] == world.user)
    old = covariance[np.ix_(train, train)] + np.diag(world.sigma[train] ** 2)
    expected = np.diag(covariance) - (covariance[:, train] @ np.linalg.inv(old) * covariance[:, train]).sum(axis=1)
    np.testing.assert_allclose(floor_module.uncertainty(world, train), expected, rtol=1e-8)


def test_without_ids_only_what_columns_share_is_known(floor_module, small):
    # User 0 and product 0 are alone; users 1 and 2, and all other products of a category, cannot be told apart.
    alike = {name: getattr(small, name).copy() for name in ("gender", "age", "occupation", "city", "stay", "married")}
    for values in alike.values():
        values[2] = values[1]
    alike["occupation"][0] = 99
    world = replace(small, **alike)
    mean, deviation = floor_module.without_ids(world)
    fixed = world.mean - world.by_product - world.by_user
    categories = pd.Series([str(row) for row in world.categories[world.product].tolist()])
    product = pd.Series(world.by_product).groupby(categories)
    person = pd.Series(np.where(world.user == 2, 1, world.user))
    columns = [pd.Series(world_column[world.user]) for world_column in alike.values()]
    assert pd.concat(columns, axis=1).groupby(person).nunique().max().max() == 1
    user = pd.Series(world.by_user).groupby([*columns, pd.Series(world.category)])
    np.testing.assert_allclose(mean, fixed + product.transform("mean") + user.transform("mean"))
    spread = product.transform("var", ddof=0) + user.transform("var", ddof=0)
    np.testing.assert_allclose(deviation, np.sqrt(world.sigma**2 + spread))
    assert (user.transform("var", ddof=0)[world.user == 0] == 0).all()


def test_stated_floors_are_those_of_the_world(floor_module, world, floors):
    found = floor_module.floors(world)
    assert list(found) == list(floors)
    for name, value in floors.items():
        assert found[name] == pytest.approx(value, abs=6e-5 if value < 1 else 6e-3), name


def test_stated_baselines_are_those_of_the_file(floor_module, table, floors):
    train = floor_module.random_split(len(table), 0.8, 0)
    amount = table["Purchase"]
    predicted = {"constant": pd.Series(amount[train].mean(), index=table.index)}
    for name, column in (("product_mean", "Product_ID"), ("category_mean", "Product_Category_1")):
        predicted[name] = table[column].map(amount[train].groupby(table[column][train]).mean())
    for name, values in predicted.items():
        rmse = np.sqrt(((values - amount)[~train] ** 2).mean())
        assert floors[name] == pytest.approx(rmse, abs=0.01), name
    group = pd.cut(amount, [-1, 4999, 9999, 15_000, np.inf], labels=False)
    assert floors["majority_accuracy"] == pytest.approx((group[~train] == group[train].mode()[0]).mean(), abs=1e-4)


def test_floors_are_in_order(floors):
    errors = ["oracle", "learnable", "blup", "product_mean", "category_mean", "constant"]
    assert sorted(errors, key=floors.__getitem__) == errors
    assert floors["oracle_on_test"] < floors["blup_told_groups"] < floors["blup"]
    accuracies = ["majority_accuracy", "bayes_accuracy_without_ids", "learnable_accuracy", "bayes_accuracy"]
    assert sorted(accuracies, key=floors.__getitem__) == accuracies


def test_readme_states_the_floors(floors):
    text = (DATA / "README.md").read_text()
    for value in floors.values():
        assert (f"{value:.4f}" if value < 1 else f"{value:.2f}") in text


def test_a_world_of_another_size_is_written(planted, tmp_path, monkeypatch, capsys):
    sizes = ["--rows", "3000", "--users", "60", "--products", "100"]
    monkeypatch.setattr(sys, "argv", ["planted_purchases.py", "--out", str(tmp_path / "new"), *sizes])
    planted.main()
    table = pd.read_csv(tmp_path / "new" / "purchases.csv")
    assert (len(table), table["User_ID"].nunique(), table["Product_ID"].nunique()) == (3000, 60, 100)
    floors = json.loads((tmp_path / "new" / "floors.json").read_text())
    assert floors["oracle"] == pytest.approx(2400, rel=0.02)
    assert str(floors["oracle"]) in capsys.readouterr().out


def test_an_impossible_size_is_refused(planted):
    with pytest.raises(ValueError, match="cannot make 100"):
        planted.plant(replace(planted.SAMPLE, rows=100), seed=0)
