"""Rows of Parquet and Arrow files, measured before they are unpacked: a few bytes can stand for gigabytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sovereign_tasks.collect.local import Broken
from sovereign_tasks.collect.tabular.reading import Fault

_BATCH = 200
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_map)


def arrow_rows(path: Path, start: int, most: int) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """The rows after `start`, a batch in memory at a time; a row of more than `most` bytes is a fault.

    `Broken` for a file that is no such thing, is cut short, or holds columns of a type that can't be measured.
    """
    number = 0
    try:
        for batch in _batches(path):
            if number + batch.num_rows <= start:
                number += batch.num_rows
                continue
            for at in range(0, batch.num_rows, _BATCH):
                for row in _unpacked(batch.slice(at, _BATCH), most):
                    number += 1
                    if number > start:
                        yield number, row
    except (pa.ArrowException, OSError, EOFError, ValueError) as e:
        raise Broken("unreadable", type(e).__name__) from None


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as file:
            columns = [file.schema.column(n) for n in range(len(file.schema))]
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        # What is written once for many rows stays so in memory.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            yield from file.iter_batches(_BATCH)
    else:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
            yield from stream


def _unpacked(batch: pa.RecordBatch, most: int) -> Iterator[dict[str, Any] | Fault]:
    """A batch's rows, no more of them at once than have the size of the largest one allowed."""
    sizes = sum((_sizes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64)).tolist()
    at = 0
    while at < len(sizes):
        end, total = at + 1, sizes[at]
        if total > most:
            yield Fault("too_large", f"{total} bytes")
        else:
            while end < len(sizes) and total + sizes[end] <= most:
                total += sizes[end]
                end += 1
            yield from batch.slice(at, end - at).to_pylist()
        at = end


def _sizes(array: pa.Array) -> np.ndarray:
    """The bytes that each value of an array has once it is unpacked."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _sizes(array.storage)
    if pa.types.is_null(kind):
        return np.ones(len(array), np.int64)
    if any(is_text(kind) for is_text in _TEXTS):
        return pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_dictionary(kind):
        if not len(array.dictionary):
            return np.zeros(len(array), np.int64)
        places = pc.fill_null(array.indices.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        return _sizes(array.dictionary)[places]
    if pa.types.is_struct(kind):
        return sum((_sizes(array.field(n)) for n in range(kind.num_fields)), np.zeros(len(array), np.int64))
    if any(is_list(kind) for is_list in _LISTS):
        each = _sizes(array.keys) + _sizes(array.items) if pa.types.is_map(kind) else _sizes(array.values)
        ends = np.concatenate([[0], np.cumsum(each + 1)])
        offsets = array.offsets.to_numpy()
        return ends[offsets[1:]] - ends[offsets[:-1]]
    if pa.types.is_fixed_size_list(kind):
        if not kind.list_size:
            return np.ones(len(array), np.int64)
        values = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        return _sizes(values).reshape(len(array), kind.list_size).sum(axis=1)
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        return np.full(len(array), max(kind.bit_width // 8, 1), np.int64)
    raise Broken("unreadable", "a column of an unusual type")
