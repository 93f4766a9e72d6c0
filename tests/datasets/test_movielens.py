"""MovieLens: what is read from every format, and what is made of it."""

import hashlib
import warnings

import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import movielens, movielens_formats, movies
from kmodels.errors import ConfigurationError, DataError

# --- what is read ---


def test_ratings_are_the_same_in_every_format(write, kind, tiny):
    data = movielens.load(write(kind))
    assert data.format == kind
    assert data.name == data.path.name
    assert data.ratings.dtypes.astype(str).to_dict() == {
        "user_id": "int64",
        "item_id": "int64",
        "rating": "float32",
        "timestamp": "int64",
    }
    expected = pd.DataFrame(tiny.ratings, columns=["user_id", "item_id", "rating", "timestamp"])
    if kind == "csv":
        expected["rating"] = [4.5, 3, 4, 0.5, 2]
    assert (data.ratings.to_numpy() == expected.to_numpy()).all()
    assert data.given_splits == {}
    content = b"".join((data.path / name).read_bytes() for name in tiny.files[kind])
    assert data.sha256 == hashlib.sha256(content).hexdigest()


def test_users(write, kind):
    users = movielens.load(write(kind)).users
    assert users["user_id"].tolist() == [1, 2, 3]
    if kind == "csv":
        assert list(users) == ["user_id"]
        return
    assert sorted(users) == [
        *("age", "age_band", "gender", "is_male", "occupation", "occupation_code", "user_id", "zip_code")
    ]
    assert users["is_male"].tolist() == [0, 1, 1]
    order = sorted(set(users["occupation"]))
    assert users["occupation_code"].tolist() == [order.index(name) + 1 for name in users["occupation"]]
    assert users["gender"].tolist() == ["F", "M", "M"]
    assert users["age"].dtype == np.int64
    bands = [max(first for first in movielens_formats.AGE_BANDS if first <= age) for age in users["age"]]
    assert users["age_band"].tolist() == bands
    if kind == "ml-1m":
        assert users["age"].tolist() == [1, 56, 25]
        assert users["occupation"].tolist() == ["K-12 student", "self-employed", "other"]
        assert users["zip_code"].tolist() == ["48067", "70072-1234", "00123"]
    else:
        assert users["age"].tolist() == [24, 53, 33]
        assert users["occupation"].tolist() == ["technician", "other", "writer"]
        assert users["zip_code"].tolist() == ["85711", "94043", "T8H1N"]


@pytest.mark.parametrize(
    ("kind", "titles", "years", "genres"),
    [
        (
            "ml-1m",
            [
                "Toy Story (1995)",
                "Misérables, Les (1998)",
                "Star Wars: Episode IV - A New Hope (1977)",
                "Nameless",
            ],
            [1995, 1998, 1977, None],
            ["Animation|Children's|Comedy", "Drama", "Action|Sci-Fi", ""],
        ),
        (
            "ml-100k",
            ["Toy Story (1995)", "Misérables, Les", "Star Wars (1977)", "unknown"],
            [1995, 1998, 1977, None],
            ["Animation|Comedy", "Drama", "Action|Sci-Fi", ""],
        ),
        (
            "csv",
            ["Toy Story (1995)", "Misérables, Les (1998)", 'Say "Hi" (2006–2007)', "Babylon 5"],
            [1995, 1998, 2006, None],
            ["Adventure|Animation|Children", "Drama|IMAX", "Film-Noir", ""],
        ),
        (
            "recbole",
            ["Toy Story", "Misérables, Les", "Star Wars (1977)", "unkonwn"],
            [1995, 1998, 1977, None],
            ["Animation|Children's|Comedy", "Drama", "Action|Sci-Fi", ""],
        ),
    ],
)
def test_items(write, kind, titles, years, genres):
    items = movielens.load(write(kind)).items
    assert list(items) == ["item_id", "title", "year", "genres", "decade"]
    assert items["item_id"].tolist() == [10, 20, 30, 40]
    assert items["title"].tolist() == titles
    assert str(items["year"].dtype) == "Int64"
    assert [None if pd.isna(year) else year for year in items["year"]] == years
    assert items["decade"].tolist() == [(year or 0) // 10 * 10 for year in years]
    assert items["genres"].tolist() == genres


def test_line_ends_byte_order_mark_and_missing_last_newline(write, kind, tiny):
    plain = movielens.load(write(kind))
    for change in (
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
    ):
        changed = movielens.load(write(kind, {name: change(text) for name, text in tiny.files[kind].items()}))
        for table in ("ratings", "users", "items"):
            pd.testing.assert_frame_equal(getattr(changed, table), getattr(plain, table))
    marked = movielens.load(write(kind, {n: b"\xef\xbb\xbf" + t.encode() for n, t in tiny.files[kind].items()}))
    assert marked.items["title"].tolist() == plain.items["title"].tolist()


def test_old_formats_are_read_as_utf_8_where_they_have_been_converted(write, tiny):
    folder = write("ml-1m", {"movies.dat": tiny.files["ml-1m"]["movies.dat"].encode("utf-8")})
    assert movielens.load(folder).items["title"][1] == "Misérables, Les (1998)"


def test_recbole_occupation_codes_and_genre_column(write, tiny):
    users = tiny.files["recbole"]["x.user"].replace("technician", "17").replace("other", "0").replace("writer", "20")
    items = tiny.files["recbole"]["x.item"].replace("class:", "genre:").replace("\tunknown", "\t(no genres listed)")
    data = movielens.load(write("recbole", {"x.user": users, "x.item": items}))
    assert data.users["occupation"].tolist() == ["technician/engineer", "other", "writer"]
    assert data.items["genres"][3] == ""


def test_a_folder_inside_an_unpacked_archive(write, tmp_path, tiny):
    folder = write("csv")
    inner = folder / "ml-latest-small"
    inner.mkdir()
    for name in tiny.files["csv"]:
        (folder / name).rename(inner / name)
    (folder / "__MACOSX").mkdir()
    data = movielens.load(str(folder))
    assert data.path == inner
    assert data.name == "ml-latest-small"


def test_names_of_the_readmes():
    assert len(movielens_formats.OCCUPATIONS) == 21
    assert movielens_formats.OCCUPATIONS[4] == "college/grad student"
    assert len(movielens_formats.GENRES) == 20
    assert list(movielens_formats.GENRES) == sorted(movielens_formats.GENRES)


# --- load ---


def test_load_the_sample():
    data = movielens.load("sample")
    assert (data.name, data.format) == ("sample", "ml-1m")
    assert (len(data.ratings), len(data.users), len(data.items)) == (50_676, 600, 360)
    assert set(data.users["age"]) == {1, 18, 25, 35, 45, 50, 56}


def test_load_a_file_of_ratings(tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("reader,isbn,score\na,x,1\nb,x,9\n")
    columns = {"user_id": "reader", "item_id": "isbn", "rating": "score"}
    assert movielens.load(path, columns=columns).scale == (1, 9)
    with pytest.raises(ConfigurationError, match="go with a file of ratings"):
        movielens.load("sample", columns=columns)


def test_load_a_path_or_nothing_known(write):
    folder = write("ml-100k")
    assert movielens.load(folder).name == movielens.load(str(folder)).name == folder.name
    with pytest.raises(ConfigurationError, match=r"unknown data source 'ml-2m'.*sample, ml-100k, ml-1m, ml-25m"):
        movielens.load("ml-2m")


def test_one_damaged_occupation_is_named(write, tiny, refused):
    users = tiny.files["ml-1m"]["users.dat"]
    refused(
        write("ml-1m", {"users.dat": users.replace("::16::", "::1x::")}),
        "users.dat, line 2, column 'occupation': a name among codes",
    )
    words = tiny.files["ml-100k"]["u.user"].replace("|writer|", "|7|")
    for file in write("ml-100k").iterdir():
        file.unlink()
    refused(write("ml-100k", {"u.user": words}), "u.user, line 3, column 'occupation': a code among names")


@pytest.mark.parametrize("bad", [b"\xff", b"\xe9", b"\xc3"])
def test_one_damaged_byte_does_not_make_a_table_latin_1(write, tiny, refused, bad):
    table = tiny.files["ml-1m"]["movies.dat"].encode()
    assert "é".encode() in table
    refused(
        write("ml-1m", {"movies.dat": table.replace(b"Nameless", b"Name" + bad + b"less")}), "line 4: wrong encoding"
    )
    latin = tiny.files["ml-1m"]["movies.dat"].encode("latin-1")
    assert movielens.load(write("ml-1m", {"movies.dat": latin})).items["title"][1] == "Misérables, Les (1998)"


def test_the_youngest_are_in_the_first_band(write, tiny):
    users = tiny.files["ml-100k"]["u.user"].replace("1|24|", "1|0|").replace("2|53|", "2|17|")
    assert movielens.load(write("ml-100k", {"u.user": users})).users["age_band"].tolist() == [1, 1, 25]


@pytest.mark.parametrize("side", ["users.dat", "movies.dat", "ratings.dat"])
def test_the_checksum_covers_side_tables(write, tiny, side):
    before = movielens.load(write("ml-1m"))
    text = tiny.files["ml-1m"][side]
    after = movielens.load(
        write("ml-1m", {side: text.replace("48067", "48068").replace("Nameless", "N").replace("::3::", "::2::")})
    )
    assert before.sha256 != after.sha256


def test_a_film_table_with_one_damaged_byte_is_refused(tmp_path):
    text = "title,budget,revenue\nAmélie,1,2\nDamaged,3,1\n".encode()
    (tmp_path / "films.csv").write_bytes(text)
    assert movies.load(tmp_path / "films.csv").table["title"][0] == "Amélie"
    (tmp_path / "films.csv").write_bytes(text.replace(b"aged", b"ag\xe9d"))
    with pytest.raises(DataError, match="line 3: wrong encoding"):
        movies.load(tmp_path / "films.csv")


# --- what releases and exports leave out or add ---


def test_movielens_10m_has_no_users(write, tiny):
    films = tiny.files["ml-1m"]["movies.dat"].replace("40::Nameless::", "40::Nameless::(no genres listed)").encode()
    changed = {"users.dat": None, "movies.dat": films, "ratings.dat": tiny.rows("::").replace("::3::", "::3.5::", 1)}
    with warnings.catch_warnings(action="error"):
        data = movielens.load(write("ml-1m", changed))
    assert data.users.columns.tolist() == ["user_id"]
    assert data.ratings["rating"].tolist() == [5, 3.5, 4, 1, 2]


@pytest.mark.parametrize(("kind", "name"), [("ml-1m", "users.dat"), ("ml-100k", "u.user")])
def test_a_release_without_its_users_is_read_with_a_notice(write, kind, name):
    with pytest.warns(UserWarning, match=f"^there is no {name}: what is known of users is left out$"):
        data = movielens.load(write(kind, {name: None}))
    assert data.users.equals(pd.DataFrame({"user_id": [1, 2, 3]}))


def test_recbole_without_users(write):
    with warnings.catch_warnings(action="error"):
        data = movielens.load(write("recbole", {"x.user": None}))
    assert data.users["user_id"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["csv", "recbole"])
def test_an_index_column_a_quoted_header_and_no_timestamps(write, kind, tiny):
    expected, name = movielens.load(write(kind)), tiny.ratings_file[kind]
    separator = tiny.separator[kind]
    header, *rows = tiny.files[kind][name].splitlines()
    index = [f"{header and separator}{header}", *(f"{number}{separator}{row}" for number, row in enumerate(rows))]
    found = movielens.load(write(kind, {name: "\n".join(index)}))
    pd.testing.assert_frame_equal(found.ratings, expected.ratings)
    without = "\n".join(row.rpartition(separator)[0] for row in (header, *rows))
    found = movielens.load(write(kind, {name: without}))
    pd.testing.assert_frame_equal(found.ratings, expected.ratings.drop(columns="timestamp"))
    assert not found.has_times
    if kind == "csv":
        quoted = ",".join(f'"{each}"' for each in header.split(","))
        for text in ([quoted, *rows], [quoted, *(",".join(f'"{each}"' for each in row.split(",")) for row in rows)]):
            pd.testing.assert_frame_equal(
                movielens.load(write(kind, {name: "\n".join(text)})).ratings, expected.ratings
            )


def test_optional_columns_without_any_value_are_left_out(write, tiny):
    users = tiny.files["recbole"]["x.user"]
    for old in ("24", "53", "33"):
        users = users.replace(f"\t{old}\t", "\t\t")
    users = users.replace("technician", "").replace("other", "").replace("writer", "")
    with pytest.warns(UserWarning, match="x.user: columns without any value are left out: age:token, occ"):
        found = movielens.load(write("recbole", {"x.user": users})).users
    assert sorted(found) == ["gender", "is_male", "user_id", "zip_code"]
