"""Picture files: every kind becomes the same RGB pixels, and what cannot be read is refused by name."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from kmodels.datasets import pictures
from kmodels.datasets.pictures import check_picture, find_picture, read_picture
from kmodels.errors import ConfigurationError, DataError


def scene(height=48, width=64):
    """A smooth picture in which no two corners are alike."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    return np.rint(np.stack([red, green, (red + green) / 2], axis=-1)).astype(np.uint8)


def save(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.jpg", "a.webp", "a.PNG"])
def test_every_format(tmp_path, name):
    options = {"quality": 97, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if "webp" in name else {}
    path = save(tmp_path / name, Image.fromarray(scene()), **options)
    decoded = read_picture(path, (48, 64))
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert not decoded.flags.writeable
    assert np.abs(decoded.astype(int) - scene()).max() <= (6 if name == "a.jpg" else 0)


def test_gray_and_bilevel(tmp_path):
    gray = scene()[..., 0]
    decoded = read_picture(save(tmp_path / "l.png", Image.fromarray(gray)), (48, 64))
    assert np.array_equal(decoded, np.repeat(gray[..., None], 3, axis=-1))
    black_white = gray > 128
    decoded = read_picture(save(tmp_path / "1.png", Image.fromarray(black_white)), (48, 64))
    assert np.array_equal(decoded[..., 1], np.where(black_white, 255, 0))


def test_palette_is_resized_as_colours(tmp_path):
    # Two colours whose mean has no palette entry: nearest-neighbour resizing would keep to the two.
    image = Image.new("P", (64, 64))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putdata([0, 1] * (64 * 32))
    decoded = read_picture(save(tmp_path / "p.png", image), (8, 8))
    assert np.abs(decoded.astype(int) - [100, 0, 100]).max() <= 5


def test_cmyk(tmp_path):
    cmyk = Image.fromarray(np.full((16, 16, 4), (255, 0, 0, 0), np.uint8), "CMYK")
    decoded = read_picture(save(tmp_path / "c.jpg", cmyk, quality=95), (16, 16))
    assert np.abs(decoded.astype(int) - [0, 255, 255]).max() <= 4
    decoded = read_picture(save(tmp_path / "c.tif", cmyk), (16, 16))
    assert decoded[3, 3].tolist() == [0, 255, 255]


@pytest.mark.parametrize("size", [(10, 20), (5, 10)])
def test_transparency_lies_on_white(tmp_path, size):
    rgba = np.zeros((10, 20, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, 10:, 3] = [255] * 5 + [51] * 5
    decoded = read_picture(save(tmp_path / "a.png", Image.fromarray(rgba)), size)
    middle = size[0] // 2
    # Nothing of the invisible red shows; the half seen one is a fifth of it.
    assert decoded[middle, 1].tolist() == [255, 255, 255]
    assert decoded[middle, size[1] * 12 // 20].tolist() == [200, 0, 0]
    assert decoded[middle, -1].tolist() == pytest.approx([0.2 * 200 + 0.8 * 255, 204, 204], abs=1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_transparent_colour(tmp_path, mode):
    image = Image.new(mode, (4, 4), 0)
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((1, 1), 1 if mode == "P" else 9 if mode == "L" else (9, 9, 9))
    key = (0, 0, 0) if mode == "RGB" else 0
    decoded = read_picture(save(tmp_path / "t.png", image, transparency=key), (4, 4))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[1, 1].tolist() == [9, 9, 9]


@pytest.mark.parametrize("name", ["w.png", "w.tif"])
def test_sixteen_bits_keep_their_high_byte(tmp_path, name):
    levels = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    decoded = read_picture(save(tmp_path / name, Image.fromarray(levels)), (48, 64))
    assert np.array_equal(decoded, np.repeat((levels // 256)[..., None], 3, axis=-1))


def test_sixteen_bits_of_colour(tmp_path):
    # Pillow cannot write these: a 2 x 1 PNG by hand.
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    line = b"\0" + struct.pack(">6H", 0x1234, 0x00FF, 0xFFFF, 0, 256, 511)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(line)) + chunk(b"IEND", b"")
    (tmp_path / "rgb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    assert read_picture(tmp_path / "rgb.png", (1, 2)).tolist() == [[[0x12, 0, 0xFF], [0, 1, 1]]]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_of_unknown_range_are_refused(tmp_path, kind):
    path = save(tmp_path / "wide.tif", Image.fromarray(np.ones((4, 4), kind)))
    with pytest.raises(DataError, match=r"wide\.tif.*no known range"):
        read_picture(path, (4, 4))


# What a viewer must do to the stored picture, per EXIF 2.3: 0th row and 0th column of the stored one are these sides.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["o.png", "o.tif", "o.jpg"])
def test_orientation(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 97, "subsampling": 0} if name == "o.jpg" else {}
    path = save(tmp_path / name, Image.fromarray(scene()), exif=exif, **options)
    expected = UPRIGHT[orientation](scene())
    decoded = read_picture(path, expected.shape[:2])
    assert np.abs(decoded.astype(int) - expected).max() <= (6 if name == "o.jpg" else 0)


def test_orientation_of_gray_sixteen_bits_and_palette(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    gray = scene()[..., 0]
    for number, image in enumerate((Image.fromarray(gray.astype(np.uint16) * 256), Image.fromarray(gray).convert("P"))):
        path = save(tmp_path / f"{number}.png", image, exif=exif)
        assert np.array_equal(read_picture(path, (64, 48))[..., 0], UPRIGHT[6](gray))


def test_an_orientation_that_does_not_exist_says_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 99
    path = save(tmp_path / "o.png", Image.fromarray(scene()), exif=exif)
    assert np.array_equal(read_picture(path, (48, 64)), scene())


@pytest.mark.parametrize("size", [(24, 16), (13, 40), (96, 128), (1, 1)])
def test_resizing_is_bilinear_with_antialias(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    decoded = read_picture(save(tmp_path / "n.png", Image.fromarray(noise)), size)
    assert decoded.shape == (*size, 3)
    # By hand: a triangle as wide as the larger of the two grids' steps, normalised.
    rows, columns = _triangle(48, size[0]), _triangle(64, size[1])
    expected = np.einsum("ab,bcd,ec->aed", rows, noise.astype(float), columns)
    assert np.abs(decoded - expected).max() <= 1.5


def _triangle(old, new):
    scale = max(old / new, 1)
    centre = (np.arange(new) + 0.5) * old / new
    weight = np.clip(1 - np.abs(np.arange(old) + 0.5 - centre[:, None]) / scale, 0, None)
    return weight / weight.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpeg_is_unpacked_small_and_looks_the_same(tmp_path, monkeypatch, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "l.jpg", Image.fromarray(scene(600, 800)), quality=95, exif=exif)
    loaded = []
    original = pictures._to_rgb
    monkeypatch.setattr(pictures, "_to_rgb", lambda image: loaded.append(image.size) or original(image))
    size = (30, 36) if orientation == 1 else (36, 30)
    decoded = read_picture(path, size)
    assert loaded == [(100, 75) if orientation == 1 else (75, 100)]
    whole = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](scene(600, 800))))
    reference = np.asarray(whole.resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.abs(decoded.astype(int) - reference).max() <= 4


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert read_picture(path, (1, 1)).tolist() == [[[255, 0, 0]]]


def test_colour_profiles_are_left_alone(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = save(tmp_path / "i.png", Image.fromarray(scene()), icc_profile=profile)
    assert np.array_equal(read_picture(path, (48, 64)), scene())


def _jpeg(quality=90):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        file, "JPEG", quality=quality
    )
    return file.getvalue()


def _png():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a picture"),
        (b"id,name\n1,Old mill\n", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not a picture"),
        (_jpeg()[:300], "damaged"),
        (_jpeg()[:-1500], "damaged"),
        (_png()[:-3000], "damaged"),
        (_png()[:200] + bytes(200) + _png()[400:], "damaged"),
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (1, 1)])
def test_what_is_no_whole_picture(tmp_path, content, words, size):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.jpg: .*{words}"):
        read_picture(path, size)


def _bomb(side):
    """A PNG that claims side x side pixels and holds none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
@pytest.mark.parametrize("limit", [Image.MAX_IMAGE_PIXELS, None])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb(tmp_path, monkeypatch, side, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    (tmp_path / "bomb.png").write_bytes(_bomb(side))
    with pytest.raises(DataError, match=r"bomb\.png: the picture is too large to unpack; expected at most 50000000"):
        read_picture(tmp_path / "bomb.png", (8, 8))


def test_large_pictures_are_refused_or_unpacked_in_bounded_memory(tmp_path):
    """A process of its own: eight threads at pictures of 49 million transparent pixels and at one of 60 million."""
    Image.new("LA", (7000, 7000), (9, 128)).save(tmp_path / "large.png", compress_level=1)
    Image.new("LA", (10_000, 6000)).save(tmp_path / "larger.png", compress_level=1)
    code = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from kmodels.datasets.pictures import read_picture
from kmodels.errors import DataError
def mean(name):
    try:
        return read_picture(name, (2, 2)).mean()
    except DataError:
        return -1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(mean, ["larger.png", "large.png"] * 2), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    *means, kilobytes = map(float, done.stdout.split())
    assert means == [-1, 132, -1, 132]
    assert kilobytes < 2**20


def test_decompression_bomb_where_warnings_are_errors(tmp_path):
    (tmp_path / "bomb.png").write_bytes(_bomb(10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="too large"):
            read_picture(tmp_path / "bomb.png", (8, 8))


def test_a_file_too_large_to_be_read_at_once(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    path = save(tmp_path / "n.png", Image.fromarray(noise))
    assert path.stat().st_size > 2**18
    assert np.array_equal(read_picture(path, (320, 320)), noise)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"n\.png: the picture is damaged"):
        read_picture(path, (320, 320))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"none\.jpg: the picture is missing"):
        read_picture(tmp_path / "none.jpg", (8, 8))
    with pytest.raises(DataError, match="the picture is not a file"):
        read_picture(tmp_path, (8, 8))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="not a file"):
        read_picture(tmp_path / "pipe.jpg", (8, 8))


@pytest.mark.parametrize("size", [(0, 8), (8, -1)])
def test_size_is_checked(tmp_path, size):
    with pytest.raises(ConfigurationError, match="height and a width"):
        read_picture(tmp_path / "a.png", size)


def test_find_a_file_and_the_first_of_a_folder(tmp_path):
    folder = tmp_path / "images" / "7"
    (folder / "0.jpg").mkdir(parents=True)
    for name in ("b.png", "a.JPG", ".0.jpg", "0.txt"):
        save(folder / name, Image.new("L", (2, 2)), format="PNG")
    assert find_picture("images/7", tmp_path) == folder.resolve() / "a.JPG"
    assert find_picture("images/7/b.png", tmp_path) == folder.resolve() / "b.png"
    assert find_picture(str(folder / "b.png"), tmp_path) == folder.resolve() / "b.png"
    assert find_picture("images/../images/7/b.png", tmp_path) == folder.resolve() / "b.png"
    assert check_picture("images/7", tmp_path) == folder.resolve() / "a.JPG"


def test_paths_that_leave_the_folder(tmp_path):
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    outside = save(tmp_path / "secret.png", Image.new("L", (2, 2)))
    (root / "link.png").symlink_to(outside)
    (root / "images" / "a.png").symlink_to(outside)
    (root / "up").symlink_to(tmp_path)
    # A neighbour whose name begins alike is outside too.
    save(tmp_path / "data2.png", Image.new("L", (2, 2)))
    for name in (
        "../secret.png",
        str(outside),
        "link.png",
        "images",
        "up/secret.png",
        "up",
        "../data2.png",
        "../none.png",
    ):
        with pytest.raises(DataError, match=r"the path leaves the data folder; expected a path inside .*data"):
            find_picture(name, root)


def test_a_linked_root_is_no_way_out(tmp_path):
    save(tmp_path / "a.png", Image.new("L", (2, 2)))
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    assert find_picture("a.png", link) == (tmp_path / "a.png").resolve()


def test_what_is_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, words in (
        ("", "no picture is named"),
        ("none.png", "missing"),
        ("empty", "holds no picture"),
        ("loop.png", "cannot be reached|missing"),
        ("x" * 5000, "cannot be reached"),
    ):
        with pytest.raises(DataError, match=words):
            find_picture(name, tmp_path)


def test_check_decodes(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(_jpeg()[:-1500])
    assert find_picture("bad.jpg", tmp_path).name == "bad.jpg"
    with pytest.raises(DataError, match="damaged"):
        check_picture("bad.jpg", tmp_path)


def test_separators_of_windows(tmp_path):
    (tmp_path / "images").mkdir()
    save(tmp_path / "images" / "a.png", Image.new("L", (2, 2)))
    assert find_picture("images\\a.png", tmp_path) == (tmp_path / "images" / "a.png").resolve()
    save(tmp_path / "b\\c.png", Image.new("L", (2, 2)))
    assert find_picture("b\\c.png", tmp_path).name == "b\\c.png"
    for name in ("..\\a.png", "images\\..\\..\\a.png"):
        with pytest.raises(DataError, match="leaves the data folder"):
            find_picture(name, tmp_path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_progressive_jpeg_counts_with_all_its_pixels(tmp_path, monkeypatch, progressive):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.jpg", progressive=progressive)
    if progressive:
        with pytest.raises(DataError, match="too large to unpack; expected at most 1000 pixels; received '64 x 64'"):
            pictures.read_picture(tmp_path / "a.jpg", (4, 4))
    else:
        assert pictures.read_picture(tmp_path / "a.jpg", (4, 4)).shape == (4, 4, 3)
