"""Pictures kept on disk, seen through the part of Batches that keeps them."""

import os
import signal
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from kmodels.datasets.pictures import read_picture
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines.pictures import Pictures

SIZE = (4, 6)
ROWS = 23


def expected(paths, rows=None):
    return np.stack([read_picture(paths[row], SIZE) for row in (range(len(paths)) if rows is None else rows)])


def cache_files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_later_run_decodes_nothing(paths, tmp_path, decoded):
    first = Pictures(paths, SIZE, cache=tmp_path / "deep" / "cache")
    whole = first(np.arange(ROWS))["image"]
    decoded.clear()
    for again in (first, Pictures(paths, SIZE, cache=tmp_path / "deep" / "cache")):
        for _ in range(2):
            np.testing.assert_array_equal(again(np.arange(ROWS))["image"], whole)
    assert decoded == []
    assert len(cache_files(tmp_path / "deep" / "cache")) == 1


def test_the_file_is_numpys_own_format(paths, tmp_path):
    whole = Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))["image"]
    (file,) = (tmp_path / "c").iterdir()
    with file.open("rb") as opened:
        np.testing.assert_array_equal(np.load(opened), whole)
        assert np.load(opened).tolist() == [zlib.crc32(picture.tobytes()) for picture in whole]


def test_a_changed_picture_is_seen_by_the_next_run(paths, tmp_path, decoded):
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    old = cache_files(tmp_path / "c")
    Image.new("RGB", (9, 9), (1, 2, 3)).save(paths[5])
    again = Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))["image"]
    assert again[5].reshape(-1, 3).tolist() == [[1, 2, 3]] * 24
    np.testing.assert_array_equal(again, expected(paths))
    assert len(cache_files(tmp_path / "c")) == 1  # the stale one is gone
    assert cache_files(tmp_path / "c") != old


def test_a_new_time_of_change_is_enough(paths, tmp_path, decoded):
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    status = paths[3].stat()
    os.utime(paths[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    decoded.clear()
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(2))
    assert len(decoded) == 2


def test_other_pictures_and_other_sizes_have_files_of_their_own(paths, tmp_path):
    rows = np.arange(4)
    for _ in range(2):
        for chosen, size in ((paths, SIZE), (paths, (6, 4)), (paths[:4], SIZE), (paths[3::-1], SIZE)):
            made = Pictures(chosen, size, cache=tmp_path / "c")(rows)["image"]
            np.testing.assert_array_equal(made, [read_picture(path, size) for path in chosen[:4]])
    assert len(cache_files(tmp_path / "c")) == 4


def test_a_picture_that_changes_during_a_run_is_not_kept_for_later_ones(paths, tmp_path):
    running = Pictures(paths, SIZE, cache=tmp_path / "c")
    before, status = paths[3].read_bytes(), paths[3].stat()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(paths[3])
    assert running(np.array([3]))["image"][0, 0, 0].tolist() == [1, 2, 3]
    paths[3].write_bytes(before)  # and back, as if nothing had happened
    os.utime(paths[3], ns=(status.st_atime_ns, status.st_mtime_ns))
    later = Pictures(paths, SIZE, cache=tmp_path / "c")
    np.testing.assert_array_equal(later(np.arange(ROWS))["image"], expected(paths))


@pytest.mark.parametrize("damage", ["pixels", "checksums", "head", "cut", "longer", "empty", "zeros"])
def test_a_damaged_file_gives_no_wrong_picture(paths, tmp_path, damage):
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    (file,) = (tmp_path / "c").iterdir()
    data = bytearray(file.read_bytes())
    match damage:
        case "pixels":
            data[len(data) // 2] ^= 1
        case "checksums":
            data[-2] ^= 1
        case "head":
            data[8] ^= 1
        case "cut":
            del data[-7:]
        case "longer":
            data += b"1234"
        case "empty":
            data.clear()
        case "zeros":
            data = bytearray(len(data))
    file.write_bytes(data)
    for _ in range(2):
        again = Pictures(paths, SIZE, cache=tmp_path / "c")
        np.testing.assert_array_equal(again(np.arange(ROWS))["image"], expected(paths))
    np.testing.assert_array_equal(np.load(file), expected(paths))


def test_two_runs_share_a_file(paths, tmp_path, decoded):
    one, other = (Pictures(paths, SIZE, cache=tmp_path / "c") for _ in range(2))
    one(np.arange(0, 12))
    other(np.arange(8, ROWS))
    for each in (one, other):
        np.testing.assert_array_equal(each(np.arange(ROWS))["image"], expected(paths))
    assert sorted(decoded) == [path.name for path in paths]


def test_a_file_that_is_replaced_under_a_run_leaves_it_unharmed(paths, tmp_path):
    running = Pictures(paths, SIZE, cache=tmp_path / "c")
    running(np.arange(10))
    for file in (tmp_path / "c").iterdir():
        file.unlink()
    Pictures(paths, SIZE, cache=tmp_path / "c")(np.arange(ROWS))
    np.testing.assert_array_equal(running(np.arange(ROWS))["image"], expected(paths))


def test_a_missing_picture_is_found_before_training_where_there_is_a_cache(paths, tmp_path):
    paths[7].unlink()
    with pytest.raises(DataError, match=r"07\.png: the picture cannot be reached \(No such file or directory\)"):
        Pictures(paths, SIZE, cache=tmp_path / "c")


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(paths, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match=r"/c: no room on the disk for the 0 MB of decoded pictures\. Choose"):
        Pictures(paths, SIZE, cache=tmp_path / "c")
    assert cache_files(tmp_path / "c") == []


def test_a_disk_that_fills_up_later_is_one_clear_error(paths, tmp_path, monkeypatch):
    pictures = Pictures(paths, SIZE, cache=tmp_path / "c")
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: 1)
    with pytest.raises(DataError, match=r"\.npy: the cache of pictures cannot be written \(.*No space left"):
        pictures(np.arange(3))
    monkeypatch.undo()
    np.testing.assert_array_equal(pictures(np.arange(3))["image"], expected(paths, range(3)))


def test_a_folder_that_cannot_be_one_is_refused(paths):
    with pytest.raises(ConfigurationError, match=r"00\.jpg: cannot be used as a cache of pictures"):
        Pictures(paths, SIZE, cache=paths[0])


def test_a_killed_run_leaves_a_cache_without_wrong_pictures(paths, tmp_path, decoded, start):
    process = start("batches[0]\nprint('made', flush=True)\ntime.sleep(60)", tmp_path, pause=0.05)
    assert process.stdout.readline() == "made\n", process.communicate()[1]
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL, errors
    again = Pictures(paths, SIZE, cache=tmp_path / "c")
    np.testing.assert_array_equal(again(np.arange(ROWS))["image"], expected(paths))
    assert len(decoded) <= ROWS - 4  # what it had decoded is not lost
