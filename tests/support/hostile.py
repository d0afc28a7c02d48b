"""Hostile files of our own making: PDFs that do or hide something, archives that are bombs."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, StreamObject, TextStringObject


def pdf(invoice: bytes | None = None, change: Callable[[PdfWriter], None] | None = None) -> bytes:
    """Return a PDF of one blank page that carries an invoice as Factur-X does, and what `change` adds."""
    writer = PdfWriter()
    writer.add_blank_page(width=200, height=200)
    if invoice is not None:
        writer.add_attachment("factur-x.xml", invoice)
    if change is not None:
        change(writer)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def with_script(writer: PdfWriter) -> None:
    """Add a script that runs when the file is opened."""
    script = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("x()")})
    writer._root_object[NameObject("/OpenAction")] = writer._add_object(script)


def with_launch(writer: PdfWriter) -> None:
    """Add a link that starts a programme."""
    action = DictionaryObject({NameObject("/S"): NameObject("/Launch"), NameObject("/F"): TextStringObject("calc")})
    link = DictionaryObject({NameObject("/Subtype"): NameObject("/Link"), NameObject("/A"): action})
    writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(link)])


def with_hidden_script(writer: PdfWriter) -> None:
    """Add a script to an object that no page and no catalogue points to."""
    writer._add_object(DictionaryObject({NameObject("/JS"): TextStringObject("x()")}))


def with_programme(writer: PdfWriter) -> None:
    """Embed a file that an invoice has no use for."""
    writer.add_attachment("invoice.exe", b"MZ")


def encrypted(writer: PdfWriter) -> None:
    """Encrypt the file, with an empty password for its readers."""
    writer.encrypt(user_password="", owner_password="secret", algorithm="RC4-128")


def with_bomb(writer: PdfWriter) -> None:
    """Embed an XML whose stream unpacks to half a gigabyte."""
    packed = zlib.compressobj(9)
    block = b" " * (1024 * 1024)
    data = b"".join(packed.compress(block) for _ in range(512)) + packed.flush()
    stream = StreamObject()
    stream._data = data
    stream.update({NameObject("/Type"): NameObject("/EmbeddedFile"), NameObject("/Filter"): NameObject("/FlateDecode")})
    name = TextStringObject("factur-x.xml")
    embedded = DictionaryObject({NameObject("/F"): writer._add_object(stream)})
    spec = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Filespec"),
            NameObject("/F"): name,
            NameObject("/UF"): name,
            NameObject("/EF"): embedded,
        }
    )
    names = DictionaryObject({NameObject("/Names"): ArrayObject([name, writer._add_object(spec)])})
    writer._root_object[NameObject("/Names")] = DictionaryObject({NameObject("/EmbeddedFiles"): names})


def archive(files: dict[str, bytes], *, stored: bool = False) -> bytes:
    """Return a ZIP of the files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return stream.getvalue()


def named_in_bytes(names: dict[bytes, bytes]) -> bytes:
    """Return a ZIP whose names are these bytes, in no encoding that it tells: as Windows writes them."""
    holders = {chr(65 + nth) * len(name): name for nth, name in enumerate(names)}
    made = archive(dict(zip(holders, names.values(), strict=True)), stored=True)
    for holder, name in holders.items():
        made = made.replace(holder.encode(), name)
    return made


def nameless() -> bytes:
    """Return a ZIP whose directory says of its only file that its name has no letters."""
    made = archive({"a": b"<a/>"}, stored=True)
    start = made.index(b"PK\x01\x02")
    return made[: start + 28] + b"\0\0\1\0" + made[start + 32 :]


def named_otherwise_inside() -> bytes:
    """Return a ZIP whose file says by itself a name that is no text, and in the directory one that is."""
    made = archive({"ä.xml": b"<a/>"}, stored=True)
    return made.replace("ä".encode(), b"\xff\xff", 1)


def ratio_bomb() -> bytes:
    """Return a ZIP whose file unpacks to a thousand times its size."""
    return archive({"big.xml": b" " * (16 * 1024 * 1024)})


def nested_bomb() -> bytes:
    """Return a ZIP of ZIPs of ZIPs."""
    inner = ratio_bomb()
    for _ in range(3):
        inner = archive({f"{nth}.zip": inner for nth in range(4)}, stored=True)
    return inner


def overlapping_bomb(*, names: int = 500) -> bytes:
    """Return a ZIP in which many names share one stream of bytes."""
    packed = archive({"a.xml": b"<a>" + b"x" * 100_000 + b"</a>"})
    start = packed.index(b"PK\x01\x02")
    end = packed.index(b"PK\x05\x06")
    entry = packed[start:end]
    directory = b"".join(_renamed(entry, f"{nth:05}"[:5].encode()) for nth in range(names))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, names, names, len(directory), start, 0)
    return packed[:start] + directory + tail


def lying_size() -> bytes:
    """Return a ZIP whose directory says that a file is far smaller than it is."""
    packed = bytearray(archive({"a.xml": b"<a>" + b"x" * 100_000 + b"</a>"}))
    start = packed.index(b"PK\x01\x02")
    struct.pack_into("<L", packed, start + 24, 10)
    return bytes(packed)


def locked() -> bytes:
    """Return a ZIP whose file says that it is encrypted."""
    packed = bytearray(archive({"a.xml": b"<a/>"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = packed.index(mark)
        (flags,) = struct.unpack_from("<H", packed, start + offset)
        struct.pack_into("<H", packed, start + offset, flags | 1)
    return bytes(packed)


def _renamed(entry: bytes, name: bytes) -> bytes:
    return entry[:46] + name + entry[46 + len(name) :]
