"""A table's content as one hash: its names, types and values, and nothing of how they lie in memory.

Arrow's own bytes will not do: a slice keeps its neighbours' bits, an empty slot whatever was there before, and a
table read back from Parquet has other chunks than the one that was written.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WORDS = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def content_digest(rows: pa.Table) -> str:
    """SHA-256 over names, types, order and values."""
    digest = hashlib.sha256(str(rows.num_rows).encode())
    for field in rows.schema:
        digest.update(f"\0{field.name}\0{field.type}\0".encode())
        _add(digest, rows[field.name].combine_chunks())
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", values: pa.Array) -> None:
    kind = values.type
    digest.update(f"{values.null_count}\0".encode())
    if values.null_count:
        digest.update(np.packbits(values.is_valid().to_numpy(zero_copy_only=False)).data)
    if pa.types.is_dictionary(kind):
        _add(digest, values.cast(kind.value_type))
    elif pa.types.is_boolean(kind):
        digest.update(np.packbits(values.fill_null(False).to_numpy(zero_copy_only=False)).data)
    elif pa.types.is_primitive(kind) and kind.bit_width in _WORDS:
        _add_words(digest, values.view(_WORDS[kind.bit_width]))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        _add_texts(digest, values)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _add_words(digest, pc.list_value_length(values))
        _add(digest, values.flatten())
    elif not pa.types.is_null(kind):
        digest.update(repr(values.to_pylist()).encode())


def _add_words(digest: "hashlib._Hash", words: pa.Array) -> None:
    digest.update(np.ascontiguousarray(words.fill_null(0).to_numpy(zero_copy_only=False)).data)


def _add_texts(digest: "hashlib._Hash", texts: pa.Array) -> None:
    """Lengths and bytes. An empty slot may hold bytes that nobody sees."""
    whole = pc.fill_null(texts, b"" if pa.types.is_binary(texts.type) else "") if texts.null_count else texts
    digest.update(np.ascontiguousarray(pc.binary_length(whole).to_numpy(zero_copy_only=False)).data)
    wide = pa.types.is_large_string(whole.type)
    _, offsets, content = whole.buffers()
    if offsets is None or content is None or not len(whole):
        return
    bounds = np.frombuffer(offsets, np.int64 if wide else np.int32)[whole.offset : whole.offset + len(whole) + 1]
    digest.update(memoryview(content)[bounds[0] : bounds[-1]])
