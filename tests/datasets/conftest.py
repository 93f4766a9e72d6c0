"""One tiny MovieLens in every format, to be read as it is or damaged first."""

from types import SimpleNamespace

import pytest

from kmodels.datasets import movielens
from kmodels.errors import DataError

# One tiny data set, as each format writes it: 3 users, 4 films (one unrated), 5 ratings.
RATINGS = [
    (1, 10, 5, 978300760),
    (1, 30, 3, 978302109),
    (2, 10, 4, 978301968),
    (3, 20, 1, 0),
    (3, 30, 2, 951782400),
]
# The order of the columns in u.item.
_GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror|"
    "Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)


def rows(separator, table=RATINGS):
    return "".join(separator.join(map(str, row)) + "\n" for row in table)


def flags(*names):
    return "|".join("1" if genre in names else "0" for genre in _GENRES_100K.split("|"))


FILES = {
    "ml-1m": {
        "ratings.dat": rows("::"),
        "users.dat": "1::F::1::10::48067\n2::M::56::16::70072-1234\n3::M::25::0::00123\n",
        "movies.dat": (
            "10::Toy Story (1995)::Animation|Children's|Comedy\n20::Misérables, Les (1998)::Drama\n"
            "30::Star Wars: Episode IV - A New Hope (1977)::Action|Sci-Fi\n40::Nameless::\n"
        ),
    },
    "ml-100k": {
        "u.data": rows("\t"),
        "u.user": "1|24|F|technician|85711\n2|53|M|other|94043\n3|33|M|writer|T8H1N\n",
        "u.item": (
            f"10|Toy Story (1995)|01-Jan-1995||http://x/?Toy%20Story|{flags('Animation', 'Comedy')}\n"
            f"20|Misérables, Les|21-Feb-1998||http://x|{flags('Drama')}\n"
            f"30|Star Wars (1977)|01-Jan-1978||http://x|{flags('Action', 'Sci-Fi')}\n"
            f"40|unknown||||{flags('unknown')}\n"
        ),
    },
    "csv": {
        "ratings.csv": "userId,movieId,rating,timestamp\n"
        + rows(",").replace(",5,", ",4.5,").replace(",1,0", ",0.5,0"),
        "movies.csv": (
            "movieId,title,genres\n10,Toy Story (1995),Adventure|Animation|Children\n"
            '20,"Misérables, Les (1998)",Drama|IMAX\n30,"Say ""Hi"" (2006–2007)",Film-Noir\n'
            "40,Babylon 5,(no genres listed)\n"
        ),
    },
    "recbole": {
        "x.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + rows("\t"),
        "x.user": (
            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
            "1\t24\tF\ttechnician\t85711\n2\t53\tM\tother\t94043\n3\t33\tM\twriter\tT8H1N\n"
        ),
        "x.item": (
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "10\tToy Story\t1995\tAnimation Children's Comedy\n20\tMisérables, Les\t1998\tDrama\n"
            "30\tStar Wars (1977)\tV\tAction Sci-Fi\n40\tunkonwn\tunkonwn\tunknown\n"
        ),
    },
}
ENCODING = {"ml-1m": "latin-1", "ml-100k": "latin-1", "csv": "utf-8", "recbole": "utf-8"}
RATINGS_FILE = {"ml-1m": "ratings.dat", "ml-100k": "u.data", "csv": "ratings.csv", "recbole": "x.inter"}
SEPARATOR = {"ml-1m": "::", "ml-100k": "\t", "csv": ",", "recbole": "\t"}
NAMES = ("user_id", "item_id", "rating", "timestamp")
WRITTEN = {kind: dict(zip(NAMES, NAMES, strict=True)) for kind in ("ml-1m", "ml-100k")} | {
    kind: dict(zip(NAMES, FILES[kind][RATINGS_FILE[kind]].split("\n")[0].split(SEPARATOR[kind]), strict=True))
    for kind in ("csv", "recbole")
}
HEADERS = {"ml-1m": 0, "ml-100k": 0, "csv": 1, "recbole": 1}


@pytest.fixture(scope="session")
def tiny():
    """The texts above, for tests that change them."""
    return SimpleNamespace(
        files=FILES,
        ratings=RATINGS,
        rows=rows,
        ratings_file=RATINGS_FILE,
        separator=SEPARATOR,
        headers=HEADERS,
        written=WRITTEN,
    )


@pytest.fixture
def write(tmp_path):
    """Writes one format's files, some of them changed (None: left out), and returns the folder."""

    def put(kind, changed=None):
        for name, text in {**FILES[kind], **(changed or {})}.items():
            if text is not None:
                data = text if isinstance(text, bytes) else text.encode(ENCODING[kind])
                (tmp_path / name).write_bytes(data)
        return tmp_path

    return put


@pytest.fixture(params=list(FILES))
def kind(request):
    return request.param


@pytest.fixture
def refused():
    """Reads a folder that must be refused and checks that the message holds every piece."""

    def check(folder, *pieces):
        with pytest.raises(DataError) as error:
            movielens.load(folder)
        for piece in pieces:
            assert piece in str(error.value)
        return error.value

    return check
