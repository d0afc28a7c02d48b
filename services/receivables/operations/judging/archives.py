"""A ZIP of many e-documents: looked through before anything of it is unpacked, unpacked within bounds."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Sequence

from services.receivables.domain.documents import (
    DocumentRefused,
    HostileDocument,
    NotAnInvoice,
    UnreadableDocument,
)

MOST_MEMBERS = 10_000
LARGEST_MEMBER = 32 * 1024 * 1024
LARGEST_WHOLE = 512 * 1024 * 1024
# Text at its most repetitive: deflate itself ends at about 1,000.
_MOST_TIMES = 200
_SMALL = 1024 * 1024
_ENCRYPTED = 0x1
_UTF8 = 0x800
_LOCAL_HEADER = 30
_LONGEST_NAME = 300
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")
_NOT_TO_UNPACK = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def members(data: bytes) -> list[str]:
    """Return the names of an archive's files in its order; HostileDocument when it is a bomb, or hides anything."""
    with _opened(data) as archive:
        infos = _files(archive)
    if not infos:
        raise UnreadableDocument("The archive is empty.")
    if len(infos) > MOST_MEMBERS:
        raise HostileDocument("The archive holds too many files.", why="members", most=MOST_MEMBERS)
    if sum(each.file_size for each in infos) > LARGEST_WHOLE:
        raise HostileDocument("The archive unpacks to too much.", why="size", largest_bytes=LARGEST_WHOLE)
    for each in infos:
        _refuse_member(each)
    _refuse_overlap(infos, len(data))
    return [_name_of(each) for each in infos]


def unpack(data: bytes, places: Sequence[int]) -> list[bytes | DocumentRefused]:
    """Return the content of the first of these files, or why there is none; as many as together are one large one."""
    found: list[bytes | DocumentRefused] = []
    left = LARGEST_MEMBER
    with _opened(data) as archive:
        infos = _files(archive)
        for nth in places:
            left -= infos[nth].file_size
            if found and left < 0:
                break
            try:
                found.append(_content(archive, infos[nth]))
            except DocumentRefused as error:
                found.append(error)
    return found


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as stream:
            content = stream.read(LARGEST_MEMBER + 1)
    except _NOT_TO_UNPACK as error:
        raise UnreadableDocument("The archive's file cannot be unpacked.") from error
    if len(content) > LARGEST_MEMBER or len(content) != info.file_size:
        raise HostileDocument("The archive's file is larger than it says.", why="size")
    if content.startswith(_ARCHIVES):
        raise NotAnInvoice("This is an archive inside an archive: send what is in it.")
    return content


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [each for each in archive.infolist() if not each.filename.endswith("/")]


def _name_of(info: zipfile.ZipInfo) -> str:
    """Return a file's name; where the archive tells no encoding, as UTF-8 or as Windows in China writes it."""
    if info.flag_bits & _UTF8:
        return info.filename
    for encoding in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            return info.filename.encode("cp437").decode(encoding)
    return info.filename


def _opened(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UnreadableDocument("The archive cannot be read.") from error


def _refuse_member(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise HostileDocument("The archive is encrypted.", why="encrypted")
    if info.compress_type not in _METHODS:
        raise HostileDocument("The archive is compressed in a way that is not read here.", why="method")
    if info.file_size > LARGEST_MEMBER:
        raise HostileDocument("The archive unpacks to too much.", why="size", largest_bytes=LARGEST_MEMBER)
    if info.file_size > max(_SMALL, _MOST_TIMES * info.compress_size):
        raise HostileDocument("The archive unpacks to far more than it is.", why="ratio")
    if not 0 < len(info.filename) <= _LONGEST_NAME or not _name_of(info).isprintable():
        raise HostileDocument("The archive names a file as nobody does.", why="name")


def _refuse_overlap(infos: list[zipfile.ZipInfo], size: int) -> None:
    """One stream of bytes that many names share unpacks to many times the archive."""
    end = 0
    for each in sorted(infos, key=lambda info: info.header_offset):
        if each.header_offset < end:
            raise HostileDocument("The archive's files overlap.", why="overlap")
        name = each.orig_filename.encode("utf-8" if each.flag_bits & _UTF8 else "cp437")
        end = each.header_offset + _LOCAL_HEADER + len(name) + each.compress_size
    if end > size:
        raise HostileDocument("The archive's files overlap.", why="overlap")
