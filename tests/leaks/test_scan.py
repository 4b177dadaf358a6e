"""The scanner finds what it is to find in every form, and nothing where there is nothing."""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import os
import pickle
import quopri
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from email.header import Header
from pathlib import Path
from urllib.parse import quote, quote_plus

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.fernet import Fernet
from deltalake import DeltaTable, write_deltalake
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE

from tests.leaks import Needles, Scan, scan

MAIL = "jörg.o'hara+roof@example.org"
NAME = "Zoë Quill & Søn"
ASCII = "Dana Whitlock-Pruett"
NEEDLES = {"mail": [MAIL], "name": [NAME], "ascii": [ASCII]}
TEXT = f"Write to {MAIL} or ask for {NAME}, else {ASCII}, before noon."
FERNET = Fernet.generate_key().decode()


def look(folder: Path) -> Scan:
    return scan(folder, Needles(NEEDLES, [FERNET]))


def found(folder: Path) -> set[str]:
    return {hit.needle for hit in look(folder).hits}


def as_json_twice(text: str) -> bytes:
    return json.dumps({"event": json.dumps({"message": text})}).encode()


def as_tar(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("inner.txt.gz")
        body = gzip.compress(text.encode())
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


def as_zip(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/inner.json", json.dumps(text))
    return out.getvalue()


def as_codec(codec: str) -> Callable[[str], bytes]:
    def compress(text: str) -> bytes:
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, codec) as stream:
            stream.write(text.encode() * 3)
        return out.getvalue().to_pybytes()

    return compress


def as_pickled_base64(text: str) -> bytes:
    return b"value=" + base64.b64encode(zlib.compress(pickle.dumps({"text": text}))) + b";"


def as_mail(text: str) -> bytes:
    """A letter with an encoded header, its body in Base64, lines of 76 characters."""
    header = "".join(Header(part, "utf-8").encode() + "\n" for part in (NAME, MAIL, ASCII))
    return f"Subject: {header}\n\n".encode() + base64.encodebytes(text.encode() * 5)


FORMS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "capitals": lambda text: text.replace("Dana", "DANA").encode(),
    "wrapped": lambda text: text.replace(" ", "\r\n   ").encode(),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 big endian": lambda text: text.encode("utf-16-be"),
    "Windows": lambda text: text.encode("cp1252"),
    "JSON": lambda text: json.dumps({"message": text}).encode(),
    "JSON in JSON": as_json_twice,
    "repr": lambda text: repr(text.encode()).encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "HTML by numbers": lambda text: "".join(f"&#{ord(c)};" for c in text).encode(),
    "HTML by hexadecimal numbers": lambda text: "".join(f"&#x{ord(c):X};" for c in text).encode(),
    "HTML in JSON": lambda text: json.dumps(html.escape(text)).encode(),
    "JSON in HTML": lambda text: html.escape(json.dumps(text)).encode(),
    "URL": lambda text: quote(text, safe="").encode(),
    "URL's query": lambda text: quote_plus(text).encode(),
    "URL in a URL": lambda text: quote(quote(text)).encode(),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "quoted-printable in JSON": lambda text: json.dumps(quopri.encodestring(text.encode()).decode()).encode(),
    "mail": as_mail,
    "Base64": lambda text: b'{"value": "' + base64.b64encode(text.encode()) + b'"}',
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()),
    "Base64 in Base64": lambda text: base64.b64encode(base64.b64encode(text.encode())),
    "Base64 in lines in JSON": lambda text: json.dumps(base64.encodebytes(text.encode() * 3).decode()).encode(),
    "pickle in zlib in Base64": as_pickled_base64,
    "pickle, the first protocol": lambda text: pickle.dumps(text, 0),
    "Fernet": lambda text: b"is_encrypted 1 " + Fernet(FERNET).encrypt(text.encode()),
    "zlib": lambda text: zlib.compress(text.encode()),
    "zlib in the middle": lambda text: b"%PDF-1.7 stream\n" + zlib.compress(text.encode()) + b"\nendstream",
    "gzip": lambda text: gzip.compress(text.encode("utf-16")),
    "gzip in two members": lambda text: gzip.compress(b"first") + gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "zstd": as_codec("zstd"),
    "lz4": as_codec("lz4"),
    "gzip in tar in gzip": as_tar,
    "zip": as_zip,
}


# What need not stand at the beginning of a file.
WITHIN = [*list(FORMS)[:4], "Windows", *list(FORMS)[7:26], "pickle, the first protocol", "zlib in the middle"]


@pytest.mark.parametrize("form", FORMS)
def test_finds_every_form(tmp_path: Path, form: str) -> None:
    (tmp_path / "file.bin").write_bytes(FORMS[form](TEXT))
    result = look(tmp_path)
    assert {hit.needle for hit in result.hits} == set(NEEDLES)
    assert not result.unread


@pytest.mark.parametrize("form", WITHIN)
def test_finds_every_form_across_two_chunks(tmp_path: Path, form: str) -> None:
    body = FORMS[form](TEXT)
    before = (b"\x07 " * (1 << 19))[: (1 << 20) - len(body) // 2]
    (tmp_path / "file.bin").write_bytes(before + body + b"\x07 " * 100)
    assert found(tmp_path) == set(NEEDLES)


def nested() -> pa.Table:
    text = ["nothing", TEXT]
    return pa.table(
        {
            "messages": pa.array([[{"role": "user", "content": t}] for t in text]),
            "map": pa.array([[(t, 1)] for t in text], pa.map_(pa.string(), pa.int64())),
            "body": pa.array([gzip.compress(t.encode()) for t in text], pa.binary()),
            "kind": pa.array(text).dictionary_encode(),
            "view": pa.array(text, pa.string_view()),
            "blob": pa.array([t.encode() for t in text], pa.binary_view()),
            "long": pa.array(text, pa.large_string()),
            "list": pa.array([[t] for t in text], pa.large_list(pa.string())),
            "number": pa.array([1, 4_111_222_333_444], pa.int64()),
        }
    )


@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip", "none"])
def test_finds_in_every_column_of_parquet(tmp_path: Path, codec: str) -> None:
    table = nested().drop_columns(["view", "blob"])
    pq.write_table(table, tmp_path / "part.parquet", compression=codec)
    result = look(tmp_path)
    columns = {hit.where.split(" > ")[0] for hit in result.hits}
    assert columns >= {f"column {name}" for name in table.column_names if name != "number"}
    assert not [where for _, where in result.unread if where.startswith("column")]
    needle = Needles({"number": ["4111222333444"]})
    assert {hit.where for hit in scan(tmp_path, needle).hits} >= {"column number"}


def test_finds_in_parquet_metadata_and_statistics(tmp_path: Path) -> None:
    table = pa.table({"text": [TEXT]}).replace_schema_metadata({"note": base64.b64encode(TEXT.encode())})
    pq.write_table(table, tmp_path / "part.parquet", compression="zstd")
    wheres = {hit.where for hit in look(tmp_path).hits}
    assert {"statistics of text", "metadata note > Base64"} <= wheres


@pytest.mark.parametrize("open_writer", [pa.ipc.new_file, pa.ipc.new_stream])
def test_finds_in_every_column_of_arrow(tmp_path: Path, open_writer: Callable) -> None:
    table = nested()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with open_writer(str(tmp_path / "cache.arrow"), table.schema, options=options) as writer:
        writer.write_table(table)
    result = look(tmp_path)
    columns = {hit.where.split(" > ")[0] for hit in result.hits}
    assert columns >= {f"column {name}" for name in table.column_names if name != "number"}
    assert not result.unread


def test_finds_in_delta_logs_and_checkpoints(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"text": [TEXT]}))
    write_deltalake(tmp_path, pa.table({"text": ["other"]}), mode="append")
    DeltaTable(tmp_path).create_checkpoint()
    paths = {hit.path for hit in look(tmp_path).hits}
    assert "_delta_log/00000000000000000000.json" in paths
    assert any(path.endswith(".checkpoint.parquet") for path in paths)
    assert any(path.startswith("part-") for path in paths)


def test_finds_in_sqlite_rows_log_and_free_pages(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA secure_delete=OFF")  # some builds of SQLite wipe what is deleted
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE xcom (key TEXT, value BLOB)")
    database.execute("INSERT INTO xcom VALUES ('a', ?)", [zlib.compress(json.dumps(TEXT).encode())])
    hits = look(tmp_path).hits
    assert {hit.needle for hit in hits if hit.where.startswith("xcom.value > zlib")} == set(NEEDLES)

    database.execute("UPDATE xcom SET value = ?", [TEXT])
    assert {h.needle for h in look(tmp_path).hits if h.path.endswith("-wal")} == set(NEEDLES)
    database.execute("DELETE FROM xcom")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    result = look(tmp_path)
    assert {h.needle for h in result.hits if h.where == "bytes" and h.path == "some.db"} == set(NEEDLES)
    assert not [h for h in result.hits if h.where.startswith("xcom")]

    database = sqlite3.connect(tmp_path / "some.db")
    database.execute("VACUUM")
    database.close()
    assert not look(tmp_path).hits


def test_finds_what_goes_over_two_pages_of_sqlite(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "some.db")
    database.execute("PRAGMA secure_delete=OFF")
    database.execute("CREATE TABLE long (value TEXT)")
    for cut in range(0, 4096, 32):  # wherever the page ends
        database.execute("INSERT INTO long VALUES (?)", ["." * (4096 + cut) + ASCII + "." * 3000])
    database.commit()
    database.execute("DELETE FROM long")
    database.commit()
    database.close()
    hits = look(tmp_path).hits
    whole = sum(count for hit, count in hits.items() if hit.where == "bytes")
    assert sum(count for hit, count in hits.items() if hit.where == "pages") > 0
    assert whole > 0


def test_finds_in_checkpoints(tmp_path: Path) -> None:
    save_file({"w": np.zeros(8, np.float32)}, tmp_path / "model.safetensors", metadata={"note": json.dumps(TEXT)})
    letters = sorted(set(ASCII.replace(" ", "Ġ")))
    token = ASCII.replace(" ", "Ġ")
    vocabulary = {t: n for n, t in enumerate([*letters, token])}
    Tokenizer(BPE(vocabulary, [])).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": [{"sample": TEXT}]}))
    hits = look(tmp_path).hits
    assert {h.needle for h in hits if h.path == "model.safetensors"} == set(NEEDLES)
    assert {h.needle for h in hits if h.path == "tokenizer.json"} == {"ascii"}
    assert {h.needle for h in hits if h.path == "trainer_state.json"} == set(NEEDLES)


def test_finds_in_names_and_links(tmp_path: Path) -> None:
    (tmp_path / f"map_index={ASCII}").mkdir()
    (tmp_path / f"{quote(MAIL)}.log").touch()
    (tmp_path / "latest").symlink_to(f"/nowhere/{NAME}")
    os.mkfifo(tmp_path / "pipe")
    assert {(h.needle, h.where) for h in look(tmp_path).hits} == {("ascii", "name"), ("mail", "name"), ("name", "link")}


def test_a_clean_folder_has_no_hit_and_a_broken_file_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["nothing", "to see"]}), tmp_path / "part.parquet")
    (tmp_path / "random.bin").write_bytes(np.random.default_rng(0).bytes(3 << 20))
    (tmp_path / "log.json").write_text(json.dumps({"event": "all is well", "id": "5a" * 32}))
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE t (a)").connection.close()
    result = look(tmp_path)
    assert not result.hits
    assert not result.unread
    assert result.files == 4
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "part.parquet").read_bytes()[:-20])
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"x" * 1000)[:-12])
    assert {path for path, _ in look(tmp_path).unread} == {"torn.parquet", "torn.gz"}
