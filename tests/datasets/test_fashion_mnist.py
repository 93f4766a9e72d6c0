import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from kmodels.datasets import fashion_mnist
from kmodels.errors import ConfigurationError, DataError

RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (5, 28, 28), np.uint8), "t10k": RNG.integers(0, 256, (3, 28, 28), np.uint8)}
LABELS = {"train": np.array([9, 0, 3, 3, 1], np.uint8), "t10k": np.array([2, 8, 0], np.uint8)}
NAMES = {part: (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte") for part in IMAGES}
FILES = {}
for each, (image_name, label_name) in NAMES.items():
    FILES[image_name] = struct.pack(">4I", 2051, len(IMAGES[each]), 28, 28) + IMAGES[each].tobytes()
    FILES[label_name] = struct.pack(">2I", 2049, len(LABELS[each])) + LABELS[each].tobytes()


@pytest.fixture
def write(tmp_path):
    """Writes the four files, compressed unless told otherwise, some of them changed (None: left out)."""

    def put(changed=None, compress=True):
        for name, content in {**FILES, **(changed or {})}.items():
            if content is not None and compress:
                (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
            elif content is not None:
                (tmp_path / name).write_bytes(content)
        return tmp_path

    return put


@pytest.mark.parametrize("compress", [True, False])
def test_files_are_read(write, compress):
    data = fashion_mnist.load(write(compress=compress))
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("t10k", data.test_images, data.test_labels),
    ):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(images[..., 0], IMAGES[part])
        np.testing.assert_array_equal(labels, LABELS[part])
    everything = b"".join(FILES[name] for part in ("train", "t10k") for name in NAMES[part])
    assert data.sha256 == hashlib.sha256(everything).hexdigest()
    assert fashion_mnist.summary(data)["label_counts"]["Dress"] == 2


IMAGE, LABEL = NAMES["train"]


@pytest.mark.parametrize(
    ("changed", "pieces"),
    [
        ({IMAGE: None}, [f"{IMAGE}.gz", "the file is missing"]),
        (
            {IMAGE: struct.pack(">I", 2049) + FILES[IMAGE][4:]},
            [IMAGE, "wrong magic number", "0x00000803", "0x00000801"],
        ),
        ({LABEL: FILES[IMAGE]}, [LABEL, "wrong magic number", "IDX file of labels"]),
        ({LABEL: b"\x89PNG" + FILES[LABEL]}, ["wrong magic number", "0x89504e47"]),
        ({IMAGE: FILES[IMAGE][:-1]}, [IMAGE, "cut short", "expected 3920 values; received 3919"]),
        ({IMAGE: FILES[IMAGE] + b"x"}, [IMAGE, "longer than its header says", "received 3921"]),
        ({IMAGE: FILES[IMAGE][:10]}, [IMAGE, "the header is cut short", "16 bytes"]),
        ({IMAGE: b""}, [IMAGE, "the header is cut short", "received 0"]),
        ({IMAGE: struct.pack(">4I", 2051, 5, 32, 32) + bytes(5120)}, ["another size", "(28, 28)", "(32, 32)"]),
        ({LABEL: struct.pack(">2I", 2049, 0)}, [LABEL, "no rows"]),
        (
            {LABEL: struct.pack(">2I", 2049, 4) + bytes(4)},
            [LABEL, "pictures and labels differ in number", "5 labels", "received 4"],
        ),
        (
            {LABEL: struct.pack(">2I", 2049, 5) + bytes([1, 2, 10, 3, 4])},
            [LABEL, "label 3 is unknown", "0 to 9", "received 10"],
        ),
    ],
)
def test_wrong_files_are_refused(write, changed, pieces):
    with pytest.raises(DataError) as error:
        fashion_mnist.load(write(changed))
    for piece in pieces:
        assert piece in str(error.value)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"no gzip", lambda data: data[:40] + b"\xff" * 20]
)
def test_damaged_archives_are_refused(write, damage):
    folder = write()
    file = folder / f"{IMAGE}.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match="damaged or cut short") as error:
        fashion_mnist.load(folder)
    assert str(file) in str(error.value)


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="not a folder"):
        fashion_mnist.load(tmp_path / "file")
    with pytest.raises(ConfigurationError, match=r"unknown data source 'mnist'.*sample, fashion-mnist"):
        fashion_mnist.load("mnist")


def test_a_known_name_is_downloaded_with_its_checksums(tmp_path, monkeypatch, write):
    source = write()
    monkeypatch.setattr(fashion_mnist, "_DEBIAN", tmp_path / "absent")
    monkeypatch.setattr(fashion_mnist, "BASE_URL", source.as_uri() + "/")
    with pytest.raises(DataError, match="wrong md5 checksum"):
        fashion_mnist.load("fashion-mnist", cache=tmp_path / "cache")
    right = {name: "md5:" + hashlib.md5((source / name).read_bytes()).hexdigest() for name in fashion_mnist.CHECKSUMS}
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", right)
    data = fashion_mnist.load("fashion-mnist", cache=tmp_path / "cache")
    assert data.name == "fashion-mnist"
    assert data.path == tmp_path / "cache" / "fashion-mnist"
    np.testing.assert_array_equal(data.train_labels, LABELS["train"])


def test_debians_files_are_taken_where_they_are(write, monkeypatch):
    folder = write()
    monkeypatch.setattr(fashion_mnist, "_DEBIAN", folder)
    data = fashion_mnist.load("fashion-mnist")
    assert (data.name, data.path) == ("fashion-mnist", folder)


def test_sample_is_balanced():
    data = fashion_mnist.load("sample")
    assert data.name == "sample"
    assert np.bincount(data.train_labels).tolist() == [400] * 10
    assert np.bincount(data.test_labels).tolist() == [100] * 10
    size = sum(file.stat().st_size for file in Path(data.path).iterdir())
    assert size < 2_000_000


def as_csv(part):
    header = ",".join(["label", *(f"pixel{number}" for number in range(1, 785))])
    rows = np.column_stack([LABELS[part], IMAGES[part].reshape(-1, 784)])
    return header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())


def test_kaggles_tables_are_read(tmp_path):
    (tmp_path / "fashion-mnist_train.csv").write_text(as_csv("train"))
    (tmp_path / "fashion-mnist_test.csv").write_text(as_csv("t10k"))
    data = fashion_mnist.load(tmp_path)
    np.testing.assert_array_equal(data.train_images[..., 0], IMAGES["train"])
    np.testing.assert_array_equal(data.test_labels, LABELS["t10k"])
    assert (data.test_images.dtype, data.test_labels.dtype) == (np.uint8, np.int32)
    content = b"".join((tmp_path / f"fashion-mnist_{part}.csv").read_bytes() for part in ("train", "test"))
    assert data.sha256 == hashlib.sha256(content).hexdigest()
    for old, new, message in (
        ("\n2,", "\n10,", "line 2, column 'label': out of range; expected 0 to 9; received '10'"),
        ("pixel784", "pixel785", "line 1: unknown header; expected label, pixel1 to pixel784"),
    ):
        (tmp_path / "fashion-mnist_test.csv").write_text(as_csv("t10k").replace(old, new, 1))
        with pytest.raises(DataError, match=message):
            fashion_mnist.load(tmp_path)


def test_torchvisions_folder_is_read(write, tmp_path):
    expected = fashion_mnist.load(write(compress=False))
    inner = tmp_path / "root" / "FashionMNIST" / "raw"
    inner.mkdir(parents=True)
    for name in FILES:
        (tmp_path / name).rename(inner / name)
    for folder in (tmp_path / "root", tmp_path / "root" / "FashionMNIST", inner):
        data = fashion_mnist.load(folder)
        assert (data.name, data.sha256) == (folder.name, expected.sha256)
