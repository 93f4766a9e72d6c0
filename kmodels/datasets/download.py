"""Downloads that are whole or absent: checksums, temporary names, archives that stay in their folder."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import shutil
import stat
import struct
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from tqdm import tqdm

from kmodels.errors import ConfigurationError, DataError
from kmodels.files import atomic, refuse_bomb
from kmodels.folders import bundled

_CHUNK = 1 << 18
# Of impossible offsets, of names that are too long, and of files where folders are needed.
_ERRORS_OF_NAMES = (errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_TIMEOUT = 30.0  # seconds to wait for an answer, and for each further piece of a file
_CHECKSUM = re.compile(r"(?P<kind>md5|sha256):(?P<digits>[0-9a-f]{8,64})")


def resolve(source: str | Path, sample: str, names: Sequence[str] = ()) -> Path:
    """The path that a data set's `load` reads: its bundled sample, or what exists; one of `names` as it is."""
    if source == "sample":
        return bundled(f"data/{sample}")
    if source not in names and not _exists(Path(source)):
        known = f"one of the names {', '.join(('sample', *names))}" if names else "the name 'sample'"
        raise ConfigurationError(f"unknown data source {str(source)!r}: neither {known} nor an existing path")
    return Path(source)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for one
        return False


def fetch_file(url: str, target: Path, checksum: str) -> Path:
    """Downloads one file, unless it is there with the right checksum: ``md5:`` or ``sha256:`` and 8 digits or more."""
    parts = _CHECKSUM.fullmatch(checksum)
    if parts is None:
        raise ConfigurationError(f"checksum must be 'md5:' or 'sha256:' and hexadecimal digits; received {checksum!r}")
    kind, digits = parts["kind"], parts["digits"]
    if target.is_file():
        with target.open("rb") as file:
            if hashlib.file_digest(file, kind).hexdigest().startswith(digits):
                return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as part:
        received = _transfer(url, part, kind)
        if not received.startswith(digits):
            raise DataError(f"wrong {kind} checksum", file=url, expected=digits, received=received[: len(digits)])
    return target


def _transfer(url: str, part: Path, kind: str) -> str:
    """Copies an address into a new file behind a progress bar and returns the digest of what came."""
    digest = hashlib.new(kind)
    with _open(url) as response, part.open("wb") as file:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdecimal() else None
        name = PurePosixPath(url).name
        # disable=None: a bar on a terminal, silence in a log file.
        with tqdm(total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
            while chunk := _read(response, url):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        received = file.tell()
    # read(n) does not complain of a connection that closes early.
    if total is not None and received != total:
        raise DataError("the transfer ended early", file=url, expected=f"{total} bytes", received=received)
    return digest.hexdigest()


def _open(url: str) -> Any:
    """Opens an address; says plainly why it cannot."""
    try:
        return urllib.request.urlopen(url, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            raise DataError(f"the server refused: {error.code} {error.reason}", file=url) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"the server cannot be reached ({reason})", file=url) from error


def _read(response: Any, url: str) -> bytes:
    """Reads the next piece of a response."""
    try:
        chunk: bytes = response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"the transfer broke off ({error or type(error).__name__})", file=url) from error
    return chunk


def fetch_published_md5(url: str) -> str:
    """Reads the ``.md5`` file next to a download whose content changes with each release, as ``md5:…``."""
    with _open(f"{url}.md5") as response:
        text = _read(response, url).decode("ascii", errors="replace")
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise DataError("no MD5 digest in the file", file=f"{url}.md5", received=text[:80])
    return f"md5:{found[0].lower()}"


def unpack_zip(archive: Path, folder: Path) -> Path:
    """Unpacks a zip archive into a new folder, completely or not at all; links and paths that leave it are refused."""
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _refuse_unsafe(member, archive)
            refuse_bomb(archive, sum(member.file_size for member in opened.infolist()))
            part.mkdir()
            opened.extractall(part)
        try:
            os.rename(part, folder)
        except OSError:
            # Another process may have unpacked the same archive in the meantime.
            if not folder.is_dir():
                raise
    except DataError:
        raise
    except (zipfile.BadZipFile, EOFError, zlib.error, struct.error, RuntimeError, ValueError, OSError) as error:
        # RuntimeError: a password or an unknown kind of compression. A full disk is not the archive's fault.
        if isinstance(error, OSError) and error.errno not in _ERRORS_OF_NAMES:
            raise
        raise DataError(f"the zip archive cannot be unpacked ({error})", file=archive) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _refuse_unsafe(member: zipfile.ZipInfo, archive: Path) -> None:
    """Refuses an archive member that would end up outside the folder."""
    # A name may be written with either slash, and a drive letter makes a path absolute on Windows.
    name = PureWindowsPath(member.orig_filename)
    leaves = name.drive or name.root or ".." in name.parts
    if leaves or stat.S_ISLNK(member.external_attr >> 16):
        what = "member that leaves its folder" if leaves else "symbolic link"
        raise DataError(f"the archive has a {what}", file=archive, received=member.orig_filename)


def fetch_archive(url: str, folder: Path, checksum: str | None, *, notice: str = "") -> Path:
    """Downloads and unpacks a zip archive, unless its folder is there; None takes the checksum published next to it."""
    if folder.is_dir():
        return folder
    if notice:
        print(notice, file=sys.stderr)
    if checksum is None:
        checksum = fetch_published_md5(url)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        return unpack_zip(fetch_file(url, Path(temporary) / PurePosixPath(url).name, checksum), folder)
