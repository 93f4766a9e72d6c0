"""Downloads, against a small server on this machine: whole or not there at all."""

import hashlib
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest

from kmodels import files
from kmodels.datasets import download, movielens
from kmodels.errors import ConfigurationError, DataError

BODY = np.random.default_rng(0).bytes(600_000)  # more than two chunks
SHA = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Server:
    """What the server holds, by path, and what was asked of it."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.promise_more = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                body = server.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) + server.promise_more))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=lambda: self.http.serve_forever(poll_interval=0.01), daemon=True).start()


@pytest.fixture(scope="module")
def running():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def server(running, monkeypatch):
    # A proxy in the environment would be asked for 127.0.0.1 too.
    monkeypatch.setenv("no_proxy", "*")
    running.files, running.requests, running.promise_more = {"/file.bin": BODY}, [], 0
    return running


def left_in(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def zip_of(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


# --- one file ---


@pytest.mark.parametrize("checksum", [SHA, SHA[: len("sha256:") + 8], "md5:" + hashlib.md5(BODY).hexdigest()])
def test_fetch_file(server, tmp_path, checksum):
    target = tmp_path / "new" / "file.bin"
    assert download.fetch_file(f"{server.url}/file.bin", target, checksum) == target
    assert target.read_bytes() == BODY
    assert left_in(tmp_path / "new") == ["file.bin"]


def test_fetch_file_keeps_what_is_right_and_replaces_what_is_not(server, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(BODY)
    download.fetch_file(f"{server.url}/file.bin", target, SHA)
    assert server.requests == []
    target.write_bytes(b"damaged")
    download.fetch_file(f"{server.url}/file.bin", target, SHA)
    assert server.requests == ["/file.bin"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("checksum", ["md5:" + "0" * 32, "sha256:" + "0" * 64])
def test_wrong_checksum_leaves_nothing(server, tmp_path, checksum):
    with pytest.raises(DataError, match=r"file.bin: wrong (md5|sha256) checksum; expected 0+; received"):
        download.fetch_file(f"{server.url}/file.bin", tmp_path / "file.bin", checksum)
    assert left_in(tmp_path) == []


def test_wrong_checksum_keeps_the_file_that_was_there(server, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(DataError, match="wrong md5"):
        download.fetch_file(f"{server.url}/file.bin", target, "md5:" + "0" * 32)
    assert target.read_bytes() == b"old"
    assert left_in(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("checksum", ["", "0" * 32, "md5:xyz", "crc:12345678", "md5:1234567"])
def test_unusable_checksum(tmp_path, checksum):
    with pytest.raises(ConfigurationError, match="checksum must be"):
        download.fetch_file("http://127.0.0.1:1/x", tmp_path / "x", checksum)


def test_not_found(server, tmp_path):
    with pytest.raises(DataError, match=r"/absent.bin: the server refused: 404"):
        download.fetch_file(f"{server.url}/absent.bin", tmp_path / "absent.bin", SHA)
    assert left_in(tmp_path) == []


def test_server_unreachable(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    # A port that was free a moment ago, and on which nobody listens.
    closed = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    closed.server_close()
    with pytest.raises(DataError, match="the server cannot be reached"):
        download.fetch_file(f"http://127.0.0.1:{closed.server_port}/x", tmp_path / "x", SHA)
    assert left_in(tmp_path) == []


def test_truncated_transfer(server, tmp_path):
    server.promise_more = 1000
    with pytest.raises(DataError, match=r"the transfer (ended early|broke off)"):
        download.fetch_file(f"{server.url}/file.bin", tmp_path / "file.bin", SHA)
    assert left_in(tmp_path) == []


def test_interrupt_leaves_nothing(server, tmp_path, monkeypatch):
    original, calls = download._read, []

    def read(response, url):
        calls.append(url)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(response, url)

    monkeypatch.setattr(download, "_read", read)
    with pytest.raises(KeyboardInterrupt):
        download.fetch_file(f"{server.url}/file.bin", tmp_path / "file.bin", SHA)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["{digest}  file.bin\n", "MD5 (file.bin) = {digest}\n", "{digest}"], ids=["gnu", "bsd", "bare"]
)
def test_published_md5(server, text):
    digest = hashlib.md5(BODY).hexdigest()
    server.files["/file.bin.md5"] = text.format(digest=digest.upper()).encode()
    assert download.fetch_published_md5(f"{server.url}/file.bin") == f"md5:{digest}"


def test_published_md5_without_a_digest(server):
    server.files["/file.bin.md5"] = b"<html>moved</html>"
    with pytest.raises(DataError, match=r"file.bin.md5: no MD5 digest in the file; received '<html>"):
        download.fetch_published_md5(f"{server.url}/file.bin")


# --- archives ---


def test_unpack(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_of(**{"in/x.txt": "one", "y.txt": "two"}))
    folder = download.unpack_zip(tmp_path / "a.zip", tmp_path / "a")
    assert left_in(folder) == ["in", "in/x.txt", "y.txt"]
    assert (folder / "in" / "x.txt").read_text() == "one"
    assert left_in(tmp_path) == ["a", "a.zip", "a/in", "a/in/x.txt", "a/y.txt"]


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "in/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:\\out.txt", "C:out.txt", ".."],
)
def test_member_that_leaves_the_folder(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.zip").write_bytes(zip_of(**{"good.txt": "x", name: "x"}))
    with pytest.raises(DataError, match=r"a.zip: the archive has a member that leaves its folder"):
        download.unpack_zip(tmp_path / "in" / "a.zip", tmp_path / "in" / "a")
    assert left_in(tmp_path) == ["in", "in/a.zip"]


def test_symbolic_link_in_an_archive(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(DataError, match="symbolic link"):
        download.unpack_zip(tmp_path / "a.zip", tmp_path / "a")
    assert left_in(tmp_path) == ["a.zip"]


def test_damaged_archive(tmp_path):
    whole = zip_of(**{"x.txt": "text " * 1000})
    (tmp_path / "cut.zip").write_bytes(whole[:40])
    # A byte of the compressed text changed: the directory is fine, the member is not.
    (tmp_path / "bad.zip").write_bytes(whole[:45] + bytes([whole[45] ^ 255]) + whole[46:])
    for name in ("cut", "bad"):
        with pytest.raises(DataError, match=f"{name}.zip: the zip archive cannot be unpacked"):
            download.unpack_zip(tmp_path / f"{name}.zip", tmp_path / name)
    assert left_in(tmp_path) == ["bad.zip", "cut.zip"]


def test_fetch_archive_once(server, tmp_path, capsys):
    body = zip_of(**{"set/x.txt": "one"})
    server.files["/set.zip"] = body
    checksum = "md5:" + hashlib.md5(body).hexdigest()
    for _ in range(2):
        folder = download.fetch_archive(
            f"{server.url}/set.zip", tmp_path / "cache" / "set", checksum, notice="Terms of use"
        )
    assert (folder / "set" / "x.txt").read_text() == "one"
    assert server.requests == ["/set.zip"]
    assert capsys.readouterr().err.count("Terms of use") == 1
    assert left_in(tmp_path / "cache") == ["set", "set/set", "set/set/x.txt"]


def test_fetch_archive_with_a_dangerous_member_leaves_nothing(server, tmp_path):
    body = zip_of(**{"../x.txt": "one"})
    server.files["/set.zip"] = body
    with pytest.raises(DataError, match="leaves its folder"):
        download.fetch_archive(f"{server.url}/set.zip", tmp_path / "set", "md5:" + hashlib.md5(body).hexdigest())
    assert left_in(tmp_path) == []


# --- MovieLens by name ---


@pytest.fixture
def grouplens(server, monkeypatch):
    server.files = {
        "/ml-latest-small.zip": zip_of(
            **{
                "inner/ratings.csv": "userId,movieId,rating,timestamp\r\n1,7,4.5,978300760\r\n",
                "inner/movies.csv": 'movieId,title,genres\r\n7,"One, Two (1995)",IMAX\r\n',
            }
        )
    }
    digest = hashlib.md5(server.files["/ml-latest-small.zip"]).hexdigest()
    server.files["/ml-latest-small.zip.md5"] = f"{digest}  ml-latest-small.zip\n".encode()
    monkeypatch.setattr(movielens, "BASE_URL", f"{server.url}/")
    return server


def test_load_downloads_a_known_name_once(grouplens, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    data = movielens.load("ml-latest-small")
    assert (data.name, data.format, len(data.ratings)) == ("ml-latest-small", "csv", 1)
    assert data.items["title"].tolist() == ["One, Two (1995)"]
    assert grouplens.requests == ["/ml-latest-small.zip.md5", "/ml-latest-small.zip"]
    assert "GroupLens" in capsys.readouterr().err
    movielens.load("ml-latest-small")
    assert len(grouplens.requests) == 2
    assert capsys.readouterr().err == ""


def test_load_refuses_a_download_with_another_checksum(grouplens, tmp_path):
    grouplens.files["/ml-1m.zip"] = grouplens.files["/ml-latest-small.zip"]
    with pytest.raises(DataError, match=r"ml-1m.zip: wrong sha256 checksum; expected a6898adb"):
        movielens.load("ml-1m", cache=tmp_path)
    assert left_in(tmp_path) == ["movielens"]


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 2**16)
    for texts in (["a" * 2**20], ["b" * 2**15] * 40):
        body = zip_of(**{f"{number}.txt": text for number, text in enumerate(texts)})
        (tmp_path / "a.zip").write_bytes(body)
        with pytest.raises(DataError, match=r"a\.zip: the archive unpacks to too much; expected at most"):
            download.unpack_zip(tmp_path / "a.zip", tmp_path / "a")
    # A header that understates the size does not help.
    (tmp_path / "a.zip").write_bytes(body.replace((2**15).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(DataError, match="cannot be unpacked"):
        download.unpack_zip(tmp_path / "a.zip", tmp_path / "a")
    assert left_in(tmp_path) == ["a.zip"]


def test_damage_anywhere_in_an_archive_is_named(tmp_path):
    whole, rng = zip_of(**{"in/x.txt": "text " * 100, "y.txt": "two"}), np.random.default_rng(0)
    for number in range(400):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        (tmp_path / "a.zip").write_bytes(damaged)
        try:
            download.unpack_zip(tmp_path / "a.zip", tmp_path / str(number))
        except DataError:
            assert not (tmp_path / str(number)).exists()


def test_a_length_that_is_no_number_is_passed_over(server, tmp_path, monkeypatch):
    opened = download._open

    def with_length(url):
        response = opened(url)
        response.headers.replace_header("Content-Length", "many")
        return response

    monkeypatch.setattr(download, "_open", with_length)
    assert download.fetch_file(f"{server.url}/file.bin", tmp_path / "x", SHA).read_bytes() == BODY


@pytest.mark.parametrize("source", ["x" * 5000, "a\0b", "/" + "y/" * 3000])
def test_a_source_that_is_no_path_is_unknown(source):
    with pytest.raises(ConfigurationError, match="unknown data source"):
        movielens.load(source)
