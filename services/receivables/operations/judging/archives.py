"""A ZIP of many e-documents: looked through before anything of it is unpacked, unpacked within bounds."""

from __future__ import annotations

import io
import zipfile
import zlib

from services.receivables.domain.documents import HostileDocument, NotAnInvoice, UnreadableDocument

MOST_MEMBERS = 10_000
LARGEST_MEMBER = 32 * 1024 * 1024
LARGEST_WHOLE = 512 * 1024 * 1024
# Text at its most repetitive: deflate itself ends at about 1,000.
_MOST_TIMES = 200
_SMALL = 1024 * 1024
_ENCRYPTED = 0x1
_LOCAL_HEADER = 30
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")


def members(data: bytes) -> list[str]:
    """Return the names of an archive's files in its order; HostileDocument when it is a bomb, or hides anything."""
    with _opened(data) as archive:
        infos = [each for each in archive.infolist() if not each.is_dir()]
    if not infos:
        raise UnreadableDocument("The archive is empty.")
    if len(infos) > MOST_MEMBERS:
        raise HostileDocument("The archive holds too many files.", why="members", most=MOST_MEMBERS)
    if sum(each.file_size for each in infos) > LARGEST_WHOLE:
        raise HostileDocument("The archive unpacks to too much.", why="size", largest_bytes=LARGEST_WHOLE)
    for each in infos:
        _refuse_member(each)
    _refuse_overlap(infos, len(data))
    return [each.filename for each in infos]


def member(data: bytes, nth: int) -> bytes:
    """Return the content of one file; HostileDocument or UnreadableDocument when it is not what it was said to be."""
    with _opened(data) as archive:
        info = [each for each in archive.infolist() if not each.is_dir()][nth]
        try:
            with archive.open(info) as stream:
                content = stream.read(LARGEST_MEMBER + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise UnreadableDocument("The archive's file cannot be unpacked.") from error
    if len(content) > LARGEST_MEMBER or len(content) != info.file_size:
        raise HostileDocument("The archive's file is larger than it says.", why="size")
    if content.startswith(_ARCHIVES):
        raise NotAnInvoice("This is an archive inside an archive: send what is in it.")
    return content


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
    if len(info.filename) > 300 or any(ord(each) < 32 for each in info.filename):  # noqa: PLR2004 - a name, in text
        raise HostileDocument("The archive names a file as nobody does.", why="name")


def _refuse_overlap(infos: list[zipfile.ZipInfo], size: int) -> None:
    """One stream of bytes that many names share unpacks to many times the archive."""
    end = 0
    for each in sorted(infos, key=lambda info: info.header_offset):
        if each.header_offset < end:
            raise HostileDocument("The archive's files overlap.", why="overlap")
        end = each.header_offset + _LOCAL_HEADER + len(each.filename.encode()) + each.compress_size
    if end > size:
        raise HostileDocument("The archive's files overlap.", why="overlap")
