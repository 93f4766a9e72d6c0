"""The sample of points of interest: made again, with the floors and boxes that data/README.md states."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLE = DATA / "pois-sample"


@pytest.fixture(scope="module")
def planted():
    sys.path.insert(0, str(DATA))
    try:
        import planted_pois
    finally:
        sys.path.remove(str(DATA))
    return planted_pois


@pytest.fixture(scope="module")
def world(planted):
    return planted.plant(planted.ROWS, planted.SEED)


@pytest.fixture(scope="module")
def large(planted):
    return planted.plant(18_000, 5)


@pytest.fixture(scope="module")
def floors():
    return json.loads((SAMPLE / "floors.json").read_text())


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(SAMPLE / "pois.csv")


@pytest.fixture(scope="module")
def boxes():
    return pd.read_csv(SAMPLE / "boxes.csv", dtype={name: "Int64" for name in ("x0", "y0", "x1", "y1")})


def pixels(file):
    with Image.open(file) as image:
        assert image.size == (128, 128)
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


def test_making_the_sample_again_gives_the_same(planted, monkeypatch, tmp_path):
    real = planted.draw_picture

    def draw(z, shown, *, seed, number):
        # Drawing all of them takes seconds: of most, the box in the file is enough.
        return real(z, shown, seed=seed, number=number) if number < 12 else (b"", None)

    monkeypatch.setattr(planted, "draw_picture", draw)
    planted.write(tmp_path, False)
    assert (tmp_path / "pois.csv").read_bytes() == (SAMPLE / "pois.csv").read_bytes()
    made, kept = ((folder / "boxes.csv").read_text().splitlines() for folder in (tmp_path, SAMPLE))
    assert made[:13] == kept[:13]
    # Decoded, as another version of Pillow may pack the same picture in other bytes.
    for number in range(12):
        name = f"images/{number + 1:04d}.jpg"
        assert np.abs(pixels(tmp_path / name) - pixels(SAMPLE / name)).mean() < 2


def test_another_seed_gives_another_world(planted, world):
    assert not np.array_equal(planted.plant(planted.ROWS, planted.SEED + 1).tier, world.tier)


@pytest.fixture
def command(monkeypatch):
    """Runs make_samples.py in this process."""

    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(DATA))
            import make_samples

            patch.setattr(sys, "argv", ["make_samples.py", *map(str, arguments)])
            make_samples.main()

    return run


def test_the_command_makes_larger_sets(command, tmp_path, capsys):
    command("pois", "--out", tmp_path, "--rows", 9, "--floors")
    made = tmp_path / "pois-sample"
    assert len(pd.read_csv(made / "pois.csv")) == len(list((made / "images").iterdir())) == 9
    assert json.loads((made / "floors.json").read_text())["picture_alone"] == 0.8
    for wrong in (("movielens", "--rows", 9), ("pois", "--rows", 2)):
        with pytest.raises(SystemExit, match="2"):
            command(*wrong, "--out", tmp_path)
        assert "--rows goes with the sample pois" in capsys.readouterr().err


def test_ranges_of_the_sample(table, world):
    assert len(table) == table["id"].nunique() == 1000
    assert np.bincount(world.z).tolist() == [334, 333, 333]
    for name, low, high in (
        *(("tier", 1, 4), ("xps", 0, 1000), ("Visits", 10_001, 10_038), ("Likes", 100, 26_425)),
        *(("Dislikes", 52, 10_999), ("Bookmarks", 50, 8157)),
    ):
        assert table[name].between(low, high).all(), name
    assert 300 < sum(file.stat().st_size for file in (SAMPLE / "images").iterdir()) / 1000 < 4000
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*.*")) < 3.2e6


def test_terciles_of_the_counts_are_the_hidden_class(planted, table, world, floors):
    measure = (table["Likes"] + table["Bookmarks"]) / table["Visits"]
    measure -= table["Dislikes"] / (table["Likes"] + table["Bookmarks"])
    assert pd.qcut(measure, 3, labels=False).tolist() == world.z.tolist()
    # A gap lies between the classes.
    ranges = measure.groupby(world.z).agg(["min", "max"])
    assert (ranges["min"].to_numpy()[1:] - ranges["max"].to_numpy()[:-1] > 0.04).all()
    assert floors["relabelled"] == pytest.approx(planted.relabelled(world), abs=1e-4)
    assert 0.005 < floors["relabelled"] < 0.03


def test_floors_by_simulation(planted, large, floors):
    joint = planted.posterior(large)
    assert np.allclose(joint.sum(axis=1), 1)
    simulated = planted.reached(large)
    for name in ("metadata_alone", "picture_alone", "both"):
        # Three standard errors of an accuracy over 18,000 places.
        assert simulated[name] == pytest.approx(floors[name], abs=0.0107)
    assert floors["both"] == pytest.approx(0.7 + 0.3 * floors["metadata_alone"], abs=1e-4)
    assert floors["picture_alone"] == pytest.approx(0.8)
    # And what it says is so: among places given p for a class, a share p has it.
    for k in range(3):
        for low in np.arange(0, 0.9, 0.1):
            near = (joint[:, k] >= low) & (joint[:, k] < low + 0.1)
            if near.sum() > 1000:
                assert (large.z[near] == k).mean() == pytest.approx(joint[near, k].mean(), abs=0.04)


def test_the_floor_by_counting(planted, large, floors):
    # Without any formula, on few columns: the best guess by counts is as good as the tables say.
    cells = large.tier * 8 + large.town * 2 + large.many_xps
    counts = np.zeros((32, 3))
    np.add.at(counts, (cells, large.z), 1)
    expected = np.einsum("za,zb,zc->abcz", planted._TIER, planted._TOWN, planted._XPS).max(axis=-1).sum() / 3
    assert counts.max(axis=1).sum() / len(cells) == pytest.approx(expected, abs=0.011)
    assert expected < floors["metadata_alone"]


def test_figures_of_the_sample(planted, world, floors):
    for name, value in planted.reached(world).items():
        assert floors[f"{name}_on_these_rows"] == pytest.approx(value, abs=1e-4)
        assert value == pytest.approx(floors[name], abs=0.01)


def test_boxes_hold_the_cues(planted, world, boxes):
    assert boxes["id"].tolist() == list(range(1, 1001))
    shown = boxes["cue"] != "none"
    assert shown.tolist() == world.shown.tolist()
    assert shown.sum() == 700
    assert boxes["x0"].notna().tolist() == shown.tolist()
    assert np.array(planted.CUES)[world.z[world.shown]].tolist() == boxes["cue"][shown].tolist()
    wide = (boxes["x1"] - boxes["x0"])[shown]
    assert wide.between(26, 40).all()
    assert (boxes["x0"][shown].min() >= 8) & (boxes["x1"][shown].max() <= 120)
    # The same picture without its cue differs inside the box alone (and a little in the JPEG's blocks about it).
    for row in np.flatnonzero(world.shown)[:12]:
        bare = pixels(io.BytesIO(planted.draw_picture(0, False, seed=planted.SEED, number=int(row))[0]))
        difference = np.abs(pixels(SAMPLE / f"images/{row + 1:04d}.jpg") - bare).max(axis=-1)
        x0, y0, x1, y1 = boxes.loc[row, ["x0", "y0", "x1", "y1"]].tolist()
        assert (difference[y0:y1, x0:x1] > 40).mean() > 0.15
        difference[y0 // 16 * 16 : -(-y1 // 16) * 16, x0 // 16 * 16 : -(-x1 // 16) * 16] = 0
        assert difference.max() < 25


def test_what_must_say_nothing_of_the_class_says_nothing(planted, large):
    # Number of tags and the place within its town: means by class agree within four standard errors.
    lengths = np.array([len(tags) for tags in large.tags])
    within = large.location - planted.TOWNS[large.town]
    for values in (lengths, within[:, 0], within[:, 1]):
        means = [values[large.z == k].mean() for k in range(3)]
        assert np.ptp(means) < 4 * values.std() * np.sqrt(2 / 6000)
    shown = [large.shown[large.z == k].mean() for k in range(3)]
    assert np.ptp(shown) < 0.02


def test_readme_states_the_floors(floors):
    text = (DATA / "README.md").read_text()
    for value in floors.values():
        assert f"{value:.4f}" in text
