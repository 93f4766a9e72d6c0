"""MovieLens: given splits, and every kind of damage named with its place."""

from pathlib import Path

import pandas as pd
import pytest

from kmodels.datasets import movielens


def replaced(tiny, kind, name, old, new):
    """The changed files for `write`: one text replaced in one file."""
    assert old in tiny.files[kind][name]
    return {name: tiny.files[kind][name].replace(old, new, 1)}


# --- given splits ---


def split_files(tiny, **parts):
    return {name.replace("_", "."): tiny.rows("\t", [tiny.ratings[i] for i in picks]) for name, picks in parts.items()}


def test_given_splits(write, tiny):
    files = split_files(tiny, u1_base=[0, 1, 2], u1_test=[4, 3], ua_base=[2, 3, 4], ua_test=[0, 1])
    data = movielens.load(write("ml-100k", files))
    assert {name: mask.tolist() for name, mask in data.given_splits.items()} == {
        "u1": [False, False, False, True, True],
        "ua": [True, True, False, False, False],
    }
    assert data.given_splits["u1"].dtype == bool


def test_given_splits_that_do_not_fit(write, tmp_path, tiny, refused):
    part = split_files(tiny, u1_base=[0, 1, 2], u1_test=[3, 4])
    foreign = {**part, "u1.test": part["u1.test"] + "2\t30\t4\t5\n"}
    refused(write("ml-100k", foreign), "u1.test, line 3", "not in u.data", "user 2, item 30")
    refused(write("ml-100k", split_files(tiny, u1_base=[0, 1, 2], u1_test=[2, 3, 4])), "item 10 once", "2 times")
    refused(write("ml-100k", split_files(tiny, u1_base=[0, 1, 2], u1_test=[4])), "user 3, item 20 once", "0 times")
    (tmp_path / "u1.base").unlink()
    refused(tmp_path, "u1.base: the file is missing")


# --- what is refused ---


def test_nothing_there(tmp_path, refused):
    (tmp_path / "notes.txt").write_text("x")
    refused(tmp_path, "no MovieLens ratings", "ratings.dat", "u.data", "ratings.csv", "*.inter", "'notes.txt'")


def test_several_formats(write, refused):
    write("ml-1m")
    refused(write("csv"), "several MovieLens ratings", "ratings.dat", "ratings.csv")


def test_two_recbole_sets(write, tiny, refused):
    refused(
        write("recbole", {"y.inter": tiny.files["recbole"]["x.inter"]}),
        "several MovieLens ratings",
        "*.inter",
    )


@pytest.mark.parametrize("damage", ["missing", "empty", "blank"])
def test_missing_or_empty_file(write, kind, damage, tiny, refused):
    for name in tiny.files[kind]:
        folder = write(kind, {name: {"missing": None, "empty": "", "blank": "\n \n"}[damage]})
        if damage == "missing":
            (folder / name).unlink(missing_ok=True)
            if name == tiny.ratings_file[kind]:
                refused(folder, "no MovieLens ratings", name.replace("x.", "*."))
                continue
            if "user" in name:
                data = movielens.load(folder)
                assert data.users.equals(pd.DataFrame({"user_id": [1, 2, 3]}))
                continue
        refused(folder, f"{name}: the file is {damage.replace('blank', 'empty')}")


def test_header_alone_or_wrong(write, tiny, refused):
    for kind, name in (
        ("csv", "ratings.csv"),
        ("csv", "movies.csv"),
        ("recbole", "x.inter"),
        ("recbole", "x.user"),
    ):
        header, _, body = tiny.files[kind][name].partition("\n")
        for path in Path(write(kind)).iterdir():
            path.unlink()
        refused(write(kind, {name: header}), name, "the table has no row")
        refused(write(kind, {name: body}), f"{name}, line 1: unknown header")


def bad_rating(tiny, kind, old, new):
    """Changes the third rating; returns the changed files and the line number to be named."""
    separator = tiny.separator[kind]
    line = separator.join(map(str, tiny.ratings[2]))
    name = tiny.ratings_file[kind]
    new_line = line.replace(separator.join(old), separator.join(new))
    assert new_line != line
    return replaced(tiny, kind, name, line, new_line), f"{name}, line {3 + tiny.headers[kind]}"


@pytest.mark.parametrize(
    ("old", "new", "pieces"),
    [
        (
            ("4", "978301968"),
            ("4",),
            ["the line has 3 fields", "expected 4 fields ({user_id}, {item_id}, {rating}"],
        ),
        (("4",), ("4", "4"), ["the line has 5 fields"]),
        (("4", "978301968"), ("", "978301968"), ["column '{rating}': the field is empty"]),
        (("4", "978301968"), ("4", ""), ["column '{timestamp}': the field is empty"]),
        (("4", "978301968"), ("good", "978301968"), ["column '{rating}': not a number", "received 'good'"]),
        (("4", "978301968"), ("nan", "978301968"), ["column '{rating}': not a number", "stars from 0.5 to 5"]),
        (("4", "978301968"), ("NA", "978301968"), ["column '{rating}': not a number", "received 'NA'"]),
        (("4", "978301968"), ("6", "978301968"), ["column '{rating}': out of range", "received '6'"]),
        (("4", "978301968"), ("0", "978301968"), ["column '{rating}': out of range", "received '0'"]),
        (("4", "978301968"), ("inf", "978301968"), ["column '{rating}'"]),
        (("2", "10"), ("2.5", "10"), ["column '{user_id}': not a whole number", "received '2.5'"]),
        (("2", "10"), ("2", "ten"), ["column '{item_id}': not a number", "received 'ten'"]),
        (("2", "10"), ("-2", "10"), ["column '{user_id}': out of range"]),
        (("2", "10"), ("99999999999999999999", "10"), ["column '{user_id}': out of range"]),
        (("978301968",), ("978301968000",), ["column '{timestamp}': out of range", "seconds since 1970"]),
        (("2", "10"), ("2", "11"), ["column '{item_id}': the item is not in the items table", "received 11"]),
    ],
    ids=lambda value: "::".join(value) if isinstance(value, tuple) else "",
)
def test_bad_rating(write, kind, old, new, pieces, tiny, refused):
    changed, place = bad_rating(tiny, kind, old, new)
    error = refused(write(kind, changed), place, *(piece.format(**tiny.written[kind]) for piece in pieces))
    assert error.row == 3 + tiny.headers[kind]


@pytest.mark.parametrize(("long", "short"), [(2, 3), (3, 2)])
def test_a_long_and_a_short_line_do_not_cancel_out(write, kind, tiny, refused, long, short):
    separator, name = tiny.separator[kind], tiny.ratings_file[kind]
    lines = tiny.files[kind][name].split("\n")
    start = tiny.headers[kind]
    lines[start + long] += f"{separator}7"
    lines[start + short] = lines[start + short].rpartition(separator)[0]
    received = 5 if long < short else 3
    folder = write(kind, {name: "\n".join(lines)})
    refused(folder, f"{name}, line {start + 3}: the line has {received} fields")


def test_a_surplus_field_on_every_line(write, kind, tiny, refused):
    # pandas would drop it without a word.
    separator, name, start = tiny.separator[kind], tiny.ratings_file[kind], tiny.headers[kind]
    lines = tiny.files[kind][name].splitlines()
    lines[start:] = [f"{line}{separator}7" for line in lines[start:]]
    refused(write(kind, {name: "\n".join(lines)}), f"{name}, line {start + 1}: the line has 5 fields")


def test_blank_lines_are_left_out(write, kind, tiny):
    expected = movielens.load(write(kind)).ratings
    lines = tiny.files[kind][tiny.ratings_file[kind]].split("\n")
    changed = write(kind, {tiny.ratings_file[kind]: "\n".join(["", *lines[:2], "", "", *lines[2:]])})
    pd.testing.assert_frame_equal(movielens.load(changed).ratings, expected)


def test_wrong_separator(write, kind, tiny, refused):
    name = tiny.ratings_file[kind]
    text = tiny.files[kind][name]
    old = tiny.separator[kind]
    head = "".join(text.splitlines(keepends=True)[: tiny.headers[kind]])
    body = text[len(head) :].replace(old, ";")
    refused(
        write(kind, {name: head + body}),
        f"{name}, line {1 + tiny.headers[kind]}: the line has 1 field",
        repr(old),
    )


def test_separator_inside_the_ratings_of_pandas(write, tiny, refused):
    # The byte that stands in for "::" while pandas parses must not be taken for one.
    refused(write("ml-1m", {"ratings.dat": tiny.rows("\x1f")}), "line 1: the line has 1 field", "'::'")
    mixed = tiny.files["ml-1m"]["ratings.dat"].replace("::", "\x1f", 1)
    refused(write("ml-1m", {"ratings.dat": mixed}), "line 1: the line has 3 fields")


def test_pair_rated_twice(write, kind, tiny, refused):
    name = tiny.ratings_file[kind]
    again = tiny.files[kind][name].split("\n")[tiny.headers[kind]]
    first, last = 1 + tiny.headers[kind], 6 + tiny.headers[kind]
    error = refused(
        write(kind, {name: tiny.files[kind][name] + again + "\n"}),
        f"user 1 rates item 10 twice, on lines {first} and {last}",
        name,
    )
    assert error.row == last


@pytest.mark.parametrize(
    ("kind", "name", "line"), [("ml-1m", "users.dat", 0), ("ml-100k", "u.user", 0), ("recbole", "x.user", 1)]
)
def test_user_that_the_users_table_does_not_have(write, kind, name, line, tiny, refused):
    lines = tiny.files[kind][name].split("\n")
    del lines[line + 1]
    folder = write(kind, {name: "\n".join(lines)})
    refused(
        folder,
        f"{tiny.ratings_file[kind]}, line {3 + tiny.headers[kind]}, column '{tiny.written[kind]['user_id']}'",
        "not in the users table",
        "received 2",
    )


@pytest.mark.parametrize(
    ("kind", "name", "old", "new", "pieces"),
    [
        ("ml-1m", "users.dat", "2::M", "2::X", ["line 2, column 'gender': unknown gender", "F or M", "'X'"]),
        (
            "ml-1m",
            "users.dat",
            "::56::16",
            "::old::16",
            ["line 2, column 'age': not a number", "'old'"],
        ),
        ("ml-1m", "users.dat", "::56::16", "::56::21", ["line 2, column 'occupation': out of range", "'21'"]),
        ("ml-1m", "users.dat", "::70072-1234", "::", ["line 2, column 'zip_code': the field is empty"]),
        ("ml-1m", "users.dat", "::70072-1234", "", ["line 2: the line has 4 fields"]),
        ("ml-1m", "users.dat", "2::M", "1::M", ["line 2, column 'user_id': user_id 1 is already on line 1"]),
        (
            "ml-1m",
            "movies.dat",
            "Drama",
            "Dramma",
            ["line 2, column 'genres': unknown genre 'Dramma'", "Film-Noir"],
        ),
        (
            "ml-1m",
            "movies.dat",
            "Action|",
            "Action||",
            ["line 3, column 'genres': unknown genre ''"],
        ),
        (
            "ml-1m",
            "movies.dat",
            "20::",
            "10::",
            ["line 2, column 'item_id': item_id 10 is already on line 1"],
        ),
        ("ml-1m", "movies.dat", "20::Mis", "xx::Mis", ["line 2, column 'item_id': not a number"]),
        ("ml-100k", "u.user", "|other|", "||", ["line 2, column 'occupation': the field is empty"]),
        ("ml-100k", "u.item", "|0|0|0", "|0|2|0", ["line 1, column", "expected 0 or 1", "received '2'"]),
        ("ml-100k", "u.item", "|0\n", "\n", ["u.item, line 1: the line has 23 fields", "expected 24 fields"]),
        (
            "csv",
            "movies.csv",
            "IMAX",
            "Imax",
            ["line 3, column 'genres': unknown genre 'Imax'", "received 'Drama|Imax'"],
        ),
        (
            "csv",
            "movies.csv",
            '"Misérables, Les (1998)"',
            "Misérables, Les",
            ["line 3: the line has 4 fields"],
        ),
        ("csv", "movies.csv", '"Misérables', 'Mis"érables', ["line 3: the line has 4 fields"]),
        ("csv", "movies.csv", '(1998)"', '(1998)"x', ["line 3: bad quotes"]),
        (
            "recbole",
            "x.item",
            "\tDrama",
            "\tDrama Law",
            ["line 3, column 'class:token_seq': unknown genre 'Law'", "'Drama Law'"],
        ),
        (
            "recbole",
            "x.item",
            "\tclass:",
            "\tkind:",
            ["x.item, line 1: unknown header; expected columns item_id, title, genres"],
        ),
        ("recbole", "x.item", "30\t", "\t", ["line 4, column 'item_id:token': the field is empty"]),
    ],
)
def test_bad_side_table(write, kind, name, old, new, pieces, tiny, refused):
    refused(write(kind, replaced(tiny, kind, name, old, new)), name, *pieces)


def test_wrong_encoding(write, kind, tiny, refused):
    for name, text in tiny.files[kind].items():
        refused(write(kind, {name: text.encode("utf-16")}), f"{name}: wrong encoding", "UTF-16")
        write(kind)


@pytest.mark.parametrize(("kind", "name"), [("csv", "movies.csv"), ("recbole", "x.item")])
def test_latin_1_where_utf_8_is_due(write, kind, name, tiny, refused):
    folder = write(kind, {name: tiny.files[kind][name].encode("cp1252")})
    refused(folder, f"{name}, line 3: wrong encoding", "expected UTF-8", r"b'\xe9rab'")


def test_invalid_bytes_among_the_ratings(write, tiny, refused):
    text = tiny.files["csv"]["ratings.csv"].encode().replace(b"3,20", b"3,\xff20")
    refused(write("csv", {"ratings.csv": text}), "ratings.csv, line 5: wrong encoding")


def test_a_million_rows_never_meet_the_python_engine(write, monkeypatch):
    engines = []
    original = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: engines.append(k["engine"]) or original(*a, **k))
    movielens.load(write("ml-1m"))
    assert set(engines) == {"c"}
