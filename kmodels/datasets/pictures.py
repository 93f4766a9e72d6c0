"""Picture files: found inside the data folder, checked, and decoded to RGB in one way for every use.

What a decoder must settle, and its answer here:

- EXIF orientation is applied, so a picture stands as its camera meant it.
- Grey, bilevel, palette and CMYK pictures become RGB; colour profiles are not applied.
- Transparent parts show white; of an animation, the first frame is taken.
- 16 bits a channel become 8 by their high byte. 32-bit integers and floats have no known range: refused.
- Resizing stretches to the size wanted, bilinear and antialiased.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from stat import S_ISREG

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from kmodels.errors import ConfigurationError, DataError

#: Endings of the files that are taken for pictures in a folder.
PICTURE_SUFFIXES: tuple[str, ...] = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

#: A picture of more pixels is refused before it is unpacked: a file of a few kilobytes can claim gigabytes. Pictures
#: unpacked at the same time have as many together: 0.9 GB, at up to 17 bytes a pixel.
MAX_PIXELS = 50_000_000

# A list of its own: some of Pillow's other readers start programs (EPS) or fetch what is not in the file.
# The commonest first: they are tried in this order.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")

# Bytes of a file that is read at once, and pixels that do not count.
_SMALL = 2**18


class _Room:
    """Room for `MAX_PIXELS` pixels, which threads share."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._left, self._freed = MAX_PIXELS, threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Waits until there is room, and takes it for the block."""
        with self._freed:
            self._freed.wait_for(lambda: self._left >= pixels)
            self._left -= pixels
        try:
            yield
        finally:
            with self._freed:
                self._left += pixels
                self._freed.notify_all()


_ROOM = _Room()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ROOM.reset)  # what the parent's threads hold is not held in the child


def find_picture(name: str | Path, root: str | Path) -> Path:
    """Finds the picture that a table names, a file or a folder's first, inside the data folder, links followed."""
    if not str(name).strip():
        raise DataError("no picture is named", expected="a file or a folder")
    try:
        base = Path(root).resolve()
        path = _inside(base / name, base)
        if not path.exists() and "\\" in str(name):
            path = _inside(base / str(name).replace("\\", "/"), base)
        if path.is_dir():
            pictures = sorted(
                file.name
                for file in path.iterdir()
                if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".") and file.is_file()
            )
            if not pictures:
                raise DataError("the folder holds no picture", file=path, expected=", ".join(PICTURE_SUFFIXES))
            path = _inside(path / pictures[0], base)
        if not path.is_file():
            raise DataError("the picture is not a file" if path.exists() else "the picture is missing", file=path)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a loop of links"
        raise DataError(f"the picture cannot be reached ({reason})", file=str(name)) from error
    return path


def _inside(path: Path, root: Path) -> Path:
    """Follows links and refuses a path that ends up outside the folder."""
    found = path.resolve()
    if not found.is_relative_to(root):
        raise DataError("the path leaves the data folder", file=path, expected=f"a path inside {root}")
    return found


def check_picture(name: str | Path, root: str | Path) -> Path:
    """Finds a picture as `find_picture` does and decodes it once, so that a bad one is known before training."""
    path = find_picture(name, root)
    # To one pixel: JPEG then unpacks an eighth of the width, after reading the file whole.
    read_picture(path, (1, 1))
    return path


def read_picture(path: str | Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decodes a picture file to RGB (height, width, 3) uint8, read-only; safe in several threads at once.

    A JPEG much larger than `size` is unpacked at a half, a quarter or an eighth of its size, never below twice `size`:
    the result differs from a full decoding by a few levels, in a fraction of the time.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ConfigurationError(f"size must be a height and a width from 1; received {size}")
    try:
        with Image.open(_opened(path), formats=_FORMATS) as image:
            least = 2 * max(height, width)
            whole = image.size
            if min(image.size) >= 2 * least:
                image.draft(None, (least, least))  # which takes its time also where there is nothing to leave out
            # A progressive JPEG is read whole before it is made smaller.
            columns, rows = whole if image.info.get("progressive") else image.size
            pixels = columns * rows
            if pixels > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{columns} x {rows}")
            if pixels <= _SMALL:
                return _decode(image, height, width)
            with _ROOM.of(pixels):
                return _decode(image, height, width)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"at most {MAX_PIXELS} pixels"
        raise DataError(
            "the picture is too large to unpack", file=path, expected=expected, received=str(error)
        ) from error
    except UnidentifiedImageError as error:
        message, expected = "not a picture, or damaged from its first bytes", "/".join(_FORMATS)
        raise DataError(message, file=path, expected=expected) from error
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # Pillow's readers raise whatever a damaged file makes them trip over: OSError, SyntaxError, struct.error …
        raise DataError(f"the picture is damaged or of an unknown kind ({error})", file=path) from error


def _opened(path: str | Path) -> BytesIO | str | Path:
    """What Pillow is to open: the content of a small file, or the path of a larger one."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("the picture is missing", file=path) from None
    # Opening a pipe would wait for ever.
    if not S_ISREG(status.st_mode):
        raise DataError("the picture is not a file", file=path)
    if status.st_size > _SMALL:
        return path
    # By one call; Pillow takes several, at each of which Python changes threads: for 128 × 128 a sixth of the time.
    with open(path, "rb", buffering=0) as file:
        content = file.read(status.st_size)
    return BytesIO(content) if len(content) == status.st_size else path


def _decode(image: Image.Image, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Turns an opened file into RGB pixels, upright, of the size asked for."""
    ImageOps.exif_transpose(image, in_place=True)
    # Before resizing: Pillow resizes palettes without antialiasing, and transparent pixels would bleed.
    picture = _to_rgb(image)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    # Not np.array(picture), which copies twice.
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(height, width, 3)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts any mode to RGB."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        # convert() would clip at 255. Pillow before 11 opens 16-bit grey PNG files as 32-bit integers.
        levels = np.asarray(image)
        grey = (levels >> 8).astype(np.uint8)
        if "transparency" in image.info:
            grey[levels == image.info["transparency"]] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"32 bits a channel have no known range; mode {image.mode}")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # which would be a copy
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
