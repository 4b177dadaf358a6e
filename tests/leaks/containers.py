"""What lies in files that hold other things: archives, tables, databases. All take and give seekable files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import sqlite3
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

IN_MEMORY = 16 << 20
LONGEST = 1 << 30
Part = tuple[str, BinaryIO]


class TooLong(Exception):
    """More came out of a compressed file than is looked through."""


def opener(head: bytes) -> Callable[[BinaryIO], Iterator[Part]] | None:
    """What takes a file apart, by its first 512 bytes; None for a file that holds nothing else."""
    if head[257:262] == b"ustar":
        return _tar
    if len(head) > 2 and head[0] == 0x78 and head[1] in b"\x01\x5e\x9c\xda":
        return _zlib
    return next((take for magic, take in _MAGICS.items() if head.startswith(magic)), None)


def spooled(file: BinaryIO) -> BinaryIO:
    """All that a stream gives, as a file that can be read again; a `TooLong` beyond 1 GiB."""
    kept = _fresh()
    while block := file.read(1 << 20):
        kept.write(block)
        if kept.tell() > LONGEST:
            raise TooLong
    kept.seek(0)
    return kept


def _fresh() -> BinaryIO:
    return tempfile.SpooledTemporaryFile(IN_MEMORY)


def _compressed(name: str, opened: Callable[[BinaryIO], BinaryIO]) -> Callable[[BinaryIO], Iterator[Part]]:
    def parts(file: BinaryIO) -> Iterator[Part]:
        yield name, spooled(opened(file))

    return parts


def _arrow_stream(codec: str) -> Callable[[BinaryIO], BinaryIO]:
    return lambda file: pa.CompressedInputStream(pa.PythonFile(file, "r"), codec)


def _zlib(file: BinaryIO) -> Iterator[Part]:
    """A zlib stream; its two first bytes may be those of something else."""
    unpack, kept = zlib.decompressobj(), _fresh()
    try:
        while (block := unpack.unconsumed_tail or file.read(1 << 16)) and not unpack.eof:
            kept.write(unpack.decompress(block, 1 << 20))
            if kept.tell() > LONGEST:
                raise TooLong
    except zlib.error:
        pass
    kept.seek(0)
    yield "zlib", kept


def _tar(file: BinaryIO) -> Iterator[Part]:
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            yield "member's name", io.BytesIO(f"{member.name}\n{member.linkname}\n{member.pax_headers}".encode())
            if member.isfile():
                yield member.name, spooled(archive.extractfile(member))


def _zip(file: BinaryIO) -> Iterator[Part]:
    with zipfile.ZipFile(file) as archive:
        yield "comment", io.BytesIO(archive.comment)
        for member in archive.infolist():
            yield "member's name", io.BytesIO(member.filename.encode() + b"\n" + member.comment + member.extra)
            if not member.is_dir():
                with archive.open(member) as opened:
                    yield member.filename, spooled(opened)


def _parquet(file: BinaryIO) -> Iterator[Part]:
    table = pq.ParquetFile(pa.PythonFile(file, "r"))
    for key, value in (table.metadata.metadata or {}).items():
        yield f"metadata {key.decode(errors='replace')}", io.BytesIO(key + b"\n" + value)
    yield "schema", io.BytesIO(str(table.schema).encode())
    for group in range(table.metadata.num_row_groups):
        for number in range(table.metadata.num_columns):
            column = table.metadata.row_group(group).column(number)
            if column.is_stats_set and column.statistics.has_min_max:
                for bound in (column.statistics.min, column.statistics.max):
                    said = bound if isinstance(bound, bytes) else str(bound).encode()
                    yield f"statistics of {column.path_in_schema}", io.BytesIO(said)
    for batch in table.iter_batches(batch_size=256):
        yield from _columns(batch)


def _arrow_file(file: BinaryIO) -> Iterator[Part]:
    reader = pa.ipc.open_file(pa.PythonFile(file, "r"))
    yield "schema", io.BytesIO(f"{reader.schema}\n{reader.schema.metadata}".encode())
    for number in range(reader.num_record_batches):
        yield from _columns(reader.get_batch(number))


def _arrow_messages(file: BinaryIO) -> Iterator[Part]:
    reader = pa.ipc.open_stream(pa.PythonFile(file, "r"))
    yield "schema", io.BytesIO(f"{reader.schema}\n{reader.schema.metadata}".encode())
    for batch in reader:
        yield from _columns(batch)


def _columns(batch: pa.RecordBatch) -> Iterator[Part]:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for value in _values(column):
            yield f"column {name}", io.BytesIO(value)


def _values(array: pa.Array) -> Iterator[bytes]:
    """The innermost values of a column, those of numbers and times as they are written."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _values(array.storage)
    elif pa.types.is_dictionary(kind):
        yield from _values(array.dictionary)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _values(child)
    elif pa.types.is_map(kind):
        yield from _values(array.keys)
        yield from _values(array.items)
    elif pa.types.is_nested(kind):
        yield from _values(array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield from (value.encode() for value in array.to_pylist() if value)
    elif "binary" in str(kind):
        yield from (value for value in array.to_pylist() if value)
    else:
        yield "\n".join(str(value) for value in array.to_pylist() if value is not None).encode()


def _sqlite(file: BinaryIO) -> Iterator[Part]:
    """Rows by table and column with what the write-ahead log adds, and the pages, freed ones too, run together."""
    path = getattr(file, "name", None)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.db")
        with copy.open("wb") as out:
            shutil.copyfileobj(file, out)
        if isinstance(path, str) and Path(f"{path}-wal").exists():
            shutil.copy(f"{path}-wal", f"{copy}-wal")
        with copy.open("rb") as pages:
            size = struct.unpack(">H", pages.read(18)[16:])[0]
            yield "pages", _run_together(pages, 0, 0, 65536 if size == 1 else size)
        database = sqlite3.connect(copy)
        database.text_factory = bytes
        try:
            tables = [row[0].decode() for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            for table in ["sqlite_master", *tables]:
                rows = database.execute(f'SELECT * FROM "{table}"')
                columns = [column[0] for column in rows.description]
                for row in rows:
                    for column, value in zip(columns, row, strict=True):
                        if value is not None:
                            plain = value if isinstance(value, bytes) else str(value).encode()
                            yield f"{table}.{column}", io.BytesIO(plain)
        finally:
            database.close()


def _sqlite_log(file: BinaryIO) -> Iterator[Part]:
    size = struct.unpack(">I", file.read(12)[8:])[0]
    yield "pages", _run_together(file, 32, 24, size)


def _run_together(file: BinaryIO, start: int, header: int, size: int) -> BinaryIO:
    """Pages without the pointer to the next one that comes first where a long value goes over several."""
    kept = _fresh()
    file.seek(start)
    while page := file.read(header + size):
        kept.write(page[header + 4 :])
    kept.seek(0)
    return kept


_MAGICS: dict[bytes, Callable[[BinaryIO], Iterator[Part]]] = {
    b"PAR1": _parquet,
    b"ARROW1": _arrow_file,
    b"\xff\xff\xff\xff": _arrow_messages,
    b"SQLite format 3\0": _sqlite,
    b"\x37\x7f\x06\x82": _sqlite_log,
    b"\x37\x7f\x06\x83": _sqlite_log,
    b"PK\x03\x04": _zip,
    b"\x1f\x8b": _compressed("gzip", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    b"BZh": _compressed("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\0": _compressed("xz", lzma.LZMAFile),
    b"\x28\xb5\x2f\xfd": _compressed("zstd", _arrow_stream("zstd")),
    b"\x04\x22\x4d\x18": _compressed("lz4", _arrow_stream("lz4")),
}
