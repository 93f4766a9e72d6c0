import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from kmodels import files
from kmodels.errors import DataError


def interrupted_write(path):
    with files.atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise DataError("interrupted")


def test_a_failed_write_keeps_the_earlier_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "model.keras"
    files.write_atomically(path, b"first")
    with pytest.raises(DataError):
        interrupted_write(path)
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    def write(content, *, fails=False):
        with files.atomic(tmp_path / "saved") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
            if fails:
                raise DataError("interrupted")

    write("first")
    with pytest.raises(DataError):
        write("half", fails=True)
    assert [str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")] == ["saved", "saved/first"]
    write("second")
    assert [str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")] == ["saved", "saved/second"]


def test_the_temporary_file_keeps_its_suffix(tmp_path):
    with files.atomic(tmp_path / "a.keras") as temporary:
        assert temporary.suffix == ".keras"
        temporary.touch()


def test_two_processes_write_to_files_of_their_own(tmp_path, monkeypatch):
    with files.atomic(tmp_path / "a.zip") as mine:
        monkeypatch.setattr("os.getpid", lambda: -1)
        with files.atomic(tmp_path / "a.zip") as other:
            assert other != mine
            other.write_text("other")
        mine.write_text("mine")
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_text() == "mine"


def test_json_is_utf_8_and_comes_back(tmp_path):
    path = tmp_path / "labels.json"
    files.write_json(path, {"name": "Łódź", "values": [1, None, 0.5]})
    assert "Łódź" in path.read_text(encoding="utf-8")
    assert files.read_json(path) == json.loads(path.read_text(encoding="utf-8"))


def test_a_name_that_is_no_utf_8_is_written_and_comes_back(tmp_path):
    files.write_json(tmp_path / "a.json", {"data": "\udcff.csv"})  # how Python names the file b"\xff.csv"
    assert files.read_json(tmp_path / "a.json") == {"data": "\udcff.csv"}
    files.write_atomically(tmp_path / "a.md", "of \udcff.csv")
    assert (tmp_path / "a.md").read_text() == r"of \udcff.csv"


@pytest.mark.parametrize("content", [{"a": float("nan")}, {"a": object()}])
def test_what_json_cannot_hold_is_an_error_and_writes_nothing(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.json"):
        files.write_json(tmp_path / "a.json", content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
        files.read_json(tmp_path / "a.json")


def test_a_folder_is_no_json(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        files.read_json(tmp_path)


def test_what_was_saved_is_what_is_loaded(tmp_path):
    tables = {name: np.random.default_rng(0).normal(size=(4, 3)).astype("float32") for name in ("user_id", "item_id")}
    files.write_arrays(tmp_path / "vectors.npz", {"user_id": np.zeros((9, 9))})
    files.write_arrays(tmp_path / "vectors.npz", tables)  # replaces the earlier one
    found = files.read_arrays(tmp_path / "vectors.npz")
    assert set(found) == set(tables)
    for name, table in tables.items():
        np.testing.assert_array_equal(found[name], table)
    assert [file.name for file in tmp_path.iterdir()] == ["vectors.npz"]


@pytest.mark.parametrize("damage", ["missing", "other", "cut", "flipped", "empty"])
def test_a_file_that_holds_no_arrays_is_named(damage, tmp_path):
    path = tmp_path / "vectors.npz"
    files.write_arrays(path, {"user_id": np.ones((50, 8), "float32")})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    left = {"other": b"not an archive", "cut": path.read_bytes()[:300], "flipped": bytes(content), "empty": b""}
    path.unlink()
    if damage in left:
        path.write_bytes(left[damage])
    with pytest.raises(DataError, match=r"vectors\.npz: (cannot be read|not a NumPy archive)"):
        files.read_arrays(path)


@pytest.mark.parametrize("kind", ["header", "entry", "packed", "pickle"])
def test_what_claims_more_than_the_file_holds_is_refused_before_memory_is_taken(kind, tmp_path):
    path, header = tmp_path / "vectors.npz", io.BytesIO()
    dtype, shape = ("|O", (1,)) if kind == "pickle" else ("<f8", (10**12,))
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    packing = zipfile.ZIP_DEFLATED if kind == "packed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("user_id.npy", header.getvalue() + bytes(10**8 if kind == "packed" else 64))
    if kind == "entry":  # the sizes in the archive's directory
        content = path.read_bytes()
        at = content.index(b"PK\x01\x02")
        path.write_bytes(content[: at + 20] + b"\xf0\xff\xff\x7f" * 2 + content[at + 28 :])
    tracemalloc.start()
    with pytest.raises(DataError, match=r"vectors\.npz: "):
        files.read_arrays(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
