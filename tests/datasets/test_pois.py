"""Points of interest: every column and picture checked, what is wrong named by file, line and column."""

import csv
import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kmodels.datasets import pois
from kmodels.errors import ConfigurationError, DataError

ROW = {
    "id": "7",
    "name": "Old mill",
    "shortDescription": 'A mill, "the" mill,\nand a pond.',
    "categories": "['Nature', \"People's art\"]",
    "tier": "2",
    "locationLon": "6.13",
    "locationLat": "-49.6",
    "tags": "['quiet']",
    "xps": "120.5",
    "Visits": "10001",
    "Likes": "300",
    "Dislikes": "90.0",
    "Bookmarks": "55",
    "main_image_path": "images/7.png",
}


@pytest.fixture
def make(tmp_path):
    """Writes three places of two lines each with pictures, the second changed as asked; returns the CSV file."""

    def put(changed=None, header=None, drop=None):
        (tmp_path / "images").mkdir(exist_ok=True)
        rows = [ROW | {"id": str(i), "main_image_path": f"images/{i}.png"} for i in (7, 8, 9)]
        for row in rows:
            Image.new("RGB", (8, 8), "green").save(tmp_path / row["main_image_path"])
        rows[1].update(changed or {})
        names = [name for name in ROW if name != drop]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header or names)
        writer.writerows([row[name] for name in names] for row in rows)
        path = tmp_path / "places.csv"
        path.write_text(text.getvalue(), encoding="utf-8")
        return path

    return put


def test_read_as_written(make):
    path = make({"categories": "[]", "tags": "", "tier": "4", "Visits": "0", "xps": "0", "shortDescription": ""})
    data = pois.load(path)
    assert (data.name, data.path) == ("places", path)
    files = [path, *(path.parent / "images" / f"{number}.png" for number in (7, 8, 9))]
    assert data.sha256 == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    columns = "id name description categories tier longitude latitude tags xps visits likes dislikes bookmarks image"
    assert list(data.table) == columns.split()
    assert data.table.index.tolist() == [0, 1, 2]
    first, second = data.table.iloc[0], data.table.iloc[1]
    assert first.drop("image").tolist() == [
        *("7", "Old mill", 'A mill, "the" mill,\nand a pond.', ("Nature", "People's art"), 2, 6.13, -49.6, ("quiet",)),
        *(120.5, 10001, 300, 90, 55),
    ]
    assert first["image"] == str((path.parent / "images" / "7.png").resolve())
    assert second[["description", "categories", "tags", "visits", "tier"]].tolist() == ["", (), (), 0, 4]
    kinds = data.table.dtypes.astype(str)
    assert set(kinds[["tier", "visits", "likes", "dislikes", "bookmarks"]]) == {"int64"}
    assert set(kinds[["longitude", "latitude", "xps"]]) == {"float64"}
    assert list(data.skipped) == ["id", "image", "reason"]
    assert data.skipped.empty


def test_order_of_columns_and_unused_ones_do_not_matter(make):
    path = make()
    expected = pois.load(path).table
    table = pd.read_csv(path, dtype=str)[list(ROW)[::-1]]
    table.insert(3, "Unnamed: 0", "x")
    table.to_csv(path, index=False)
    # Twice the same unused name, and spaces about the names.
    text = path.read_text().replace("Unnamed: 0", "extra").replace("tier,", " tier ,extra,", 1)
    lines = list(csv.reader(io.StringIO(text)))
    place = lines[0].index(" tier ") + 1
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([lines[0]] + [[*line[:place], "y", *line[place:]] for line in lines[1:]])
    pd.testing.assert_frame_equal(pois.load(path).table, expected)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("id", " ", "line 4, column 'id': the field is empty"),
        ("id", "7", "line 4, column 'id': id 7 is already on line 2"),
        ("categories", "Nature", "column 'categories': not a list of text; expected such as"),
        ("categories", "('Nature',)", "not a list of text"),
        ("categories", "['Nature', 3]", "not a list of text"),
        ("categories", "['Nature', '']", "not a list of text"),
        ("categories", "['Nature'", "not a list of text"),
        ("categories", "__import__('os').abort()", "not a list of text"),
        ("tags", "[print('x')]", "column 'tags': not a list of text"),
        ("tags", "[" * 5000, "column 'tags': not a list of text"),
        ("tags", "nan", "not a list of text"),
        ("tier", "5", "line 4, column 'tier': out of range; expected 1, 2, 3 or 4; received '5'"),
        ("tier", "0", "out of range"),
        ("tier", "2.5", "not a whole number"),
        ("locationLon", "180.1", "column 'locationLon': out of range; expected degrees from -180 to 180"),
        ("locationLat", "-91", "column 'locationLat': out of range"),
        ("locationLat", "", "the field is empty"),
        ("locationLat", "north", "not a number"),
        ("xps", "-1", "column 'xps': out of range"),
        ("xps", "inf", "not a number"),
        ("xps", "nan", "not a number"),
        ("Visits", "-1", "column 'Visits': out of range; expected a whole number from 0"),
        ("Likes", "many", "not a number; expected a whole number"),
        ("Dislikes", "1.5", "not a whole number"),
        ("Bookmarks", "1e-3", "not a whole number"),
        ("Bookmarks", "9" * 40, "out of range"),
    ],
)
def test_a_wrong_field(make, column, value, words):
    with pytest.raises(DataError) as error:
        pois.load(make({column: value}))
    assert words in str(error.value)
    assert "places.csv" in str(error.value)


@pytest.mark.parametrize("column", list(ROW))
def test_a_missing_column(make, column):
    with pytest.raises(
        DataError, match=rf"places\.csv: the required column .* is missing; expected a column '{column}'"
    ):
        pois.load(make(drop=column))


def test_a_column_twice(make):
    names = ["tier" if name == "xps" else name for name in ROW]
    with pytest.raises(DataError, match="line 1, column 'tier': the header names this column twice"):
        pois.load(make(header=names))


def test_files_that_are_no_such_table(make, tmp_path):
    path = make()
    whole = path.read_bytes()
    for content, words in (
        (b"", "the file is empty"),
        (whole.split(b"\n")[0], "the table has no row"),
        (whole + b"10,short\n", "line 8: the line has 2 fields; expected 14 fields"),
        (whole.replace(b"Old mill", b"M\xfchle", 1), "line 2: wrong encoding; expected UTF-8"),
        (whole[:-30], "bad quotes|the line has"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            pois.load(path)


def test_which_table_is_read(make, tmp_path):
    path = make()
    assert pois.load(tmp_path).name == "places"
    (tmp_path / "other.csv").write_text("id\n1\n")
    with pytest.raises(DataError, match=r"expected one table called pois, .*; received 'other\.csv, places\.csv'"):
        pois.load(tmp_path)
    path.rename(tmp_path / "pois.csv")
    assert pois.load(tmp_path).name == "pois"
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="received 'none'"):
        pois.load(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="unknown data source 'nowhere'"):
        pois.load("nowhere")
    with pytest.raises(ConfigurationError, match="'error' or 'skip'"):
        pois.load(tmp_path, on_bad_image="ignore")


def _truncated(folder):
    Image.effect_noise((64, 64), 90).save(folder / "bad.jpg", quality=95)
    (folder / "bad.jpg").write_bytes((folder / "bad.jpg").read_bytes()[:-800])


def _text(folder):
    (folder / "bad.jpg").write_text("not a picture")


def _link(folder):
    Image.new("L", (2, 2)).save(folder.parent / "outside.png")
    (folder / "bad.jpg").symlink_to(folder.parent / "outside.png")


def _folder(folder):
    (folder / "bad.jpg").mkdir()


BAD = {
    "missing": (lambda folder: None, "bad.jpg", "the picture is missing"),
    "unnamed": (lambda folder: None, "", "no picture is named"),
    "truncated": (_truncated, "bad.jpg", "damaged"),
    "text": (_text, "bad.jpg", "not a picture"),
    "empty folder": (_folder, "bad.jpg", "the folder holds no picture"),
    "leaves": (lambda folder: None, "../bad.jpg", "leaves the data folder"),
    "leaves by a link": (_link, "bad.jpg", "leaves the data folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_picture(make, tmp_path, case):
    spoil, name, words = BAD[case]
    path = make({"main_image_path": name})
    folder = tmp_path / "inner"
    folder.mkdir()
    for file in ("places.csv", "images"):
        (tmp_path / file).rename(folder / file)
    path = folder / "places.csv"
    spoil(folder)
    with pytest.raises(DataError, match=rf"places\.csv, line 4, column 'main_image_path': bad picture: .*{words}"):
        pois.load(path)
    data = pois.load(path, on_bad_image="skip")
    assert data.table["id"].tolist() == ["7", "9"]
    assert data.table.index.tolist() == [0, 1]
    assert data.skipped[["id", "image"]].to_numpy().tolist() == [["8", name]]
    assert words in data.skipped.loc[0, "reason"]


def test_the_first_bad_picture_in_the_files_order_is_named(make, tmp_path):
    path = make()
    for number in (8, 9):
        (tmp_path / "images" / f"{number}.png").unlink()
    for _ in range(5):
        with pytest.raises(DataError, match="line 4"):
            pois.load(path)
    (tmp_path / "images" / "7.png").unlink()
    with pytest.raises(DataError, match=r"no picture can be used; of the first: .*7\.png"):
        pois.load(path, on_bad_image="skip")


def test_a_folder_as_picture(make, tmp_path):
    path = make({"main_image_path": "images/8"})
    (tmp_path / "images" / "8").mkdir()
    for name in ("2.jpg", "1.jpg"):
        Image.new("CMYK", (4, 4)).save(tmp_path / "images" / "8" / name)
    assert pois.load(path).table.loc[1, "image"].endswith("/images/8/1.jpg")


def test_the_sample():
    data = pois.load("sample")
    assert data.name == "sample"
    assert len(data.table) == 1000
    assert data.skipped.empty
    assert len({label for labels in data.table["categories"] for label in labels}) == 12
    assert set(data.table["tier"]) == {1, 2, 3, 4}


REACTIONS = pd.DataFrame({"visits": [200, 50], "likes": [30, 0], "dislikes": [10, 5], "bookmarks": [20, 0]})


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("volume", [(30 + 10 + 20) / 200 * 100, 5 / 50 * 100]),
        ("ratios", [30 / 200 + 20 / 200 - 10 / 50, -5 / 1e-8]),
        ("weighted", [0.0001 * 200 + 0.005 * 30 + 0.01 * 20 - 0.01 * 10, 0.0001 * 50 - 0.01 * 5]),
    ],
)
def test_engagement_is_what_its_formula_says(definition, expected):
    np.testing.assert_allclose(pois.engagement(REACTIONS, definition), expected, rtol=1e-6)


def test_engagement_by_volume_needs_visits_and_a_known_definition():
    with pytest.raises(DataError, match="row 2, column 'visits': no visits"):
        pois.engagement(REACTIONS.assign(visits=[3, 0]), "volume")
    with pytest.raises(ConfigurationError, match="volume, ratios, weighted; received 'fame'"):
        pois.engagement(REACTIONS, "fame")


def test_the_checksum_covers_the_pictures(make, tmp_path):
    path = make()
    before = pois.load(path).sha256
    assert pois.load(path).sha256 == before
    Image.new("RGB", (8, 8), "red").save(tmp_path / "images" / "8.png")
    assert pois.load(path).sha256 != before
