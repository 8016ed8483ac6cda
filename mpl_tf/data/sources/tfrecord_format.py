"""TFRecord files: where their records lie, and how they are written and read."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from mpl_tf import files
from mpl_tf.options import ConfigError

PARTS = ("labeled", "unlabeled", "validation", "test")
_HEADER = np.dtype([("length", "<u8"), ("checksum", "<u4")])
_EXTRA = 16  # bytes of a record beside its data: the header, and a checksum behind
_END = 1 << 12  # bytes at either end of a file that stand for its content
THREADS = 16  # that read files side by side


@dataclasses.dataclass(frozen=True)
class Shard:
    """What is known of a TFRecord file.

    Attributes:
      path: the file.
      size: bytes.
      records: how many there are.
      records_per_chunk: records of a chunk; the last chunk may have fewer.
      offsets: int64 [ceil(records / records_per_chunk)], bytes before each chunk.
    """

    path: str
    size: int
    records: int
    records_per_chunk: int
    offsets: np.ndarray

    @classmethod
    def of(
        cls,
        path: str,
        lengths: np.ndarray,
        chunk_records: int = 256,
        chunk_bytes: int = 1 << 22,
    ) -> "Shard":
        """From the records' lengths, int64 [N] bytes; chunks keep to both limits on average."""
        offsets = np.concatenate([[0], np.cumsum(lengths + _EXTRA)]).astype(np.int64)
        size, count = int(offsets[-1]), len(lengths)
        per_chunk = int(np.clip(chunk_bytes * count // max(size, 1), 1, chunk_records))
        return cls(path, size, count, per_chunk, offsets[:-1:per_chunk])


def scan(path: str, first: int = 0, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where the records of an uncompressed TFRecord file lie, from their headers alone.

    Args:
      path: the file; `gs://` and the like are slower.
      first: byte at which a record begins.
      last: byte at which the last record ends; None is the end of the file.

    Returns:
      (offsets, lengths): int64 [N] each, bytes before a record, and of its data.

    Raises:
      ConfigError: it is no regular file, a header's checksum is wrong, or a record goes on beyond
        `last`; the file and the byte where that record begins are named.
    """
    size, at = _size(path) if last is None else last, first
    offsets, heads = [], []
    with open(path, "rb") if "://" not in path else tf.io.gfile.GFile(path, "rb") as file:
        while at + _HEADER.itemsize <= size:
            file.seek(at)
            heads.append(file.read(_HEADER.itemsize))
            offsets.append(at)
            at += _EXTRA + int.from_bytes(heads[-1][:8], "little")
    headers = np.frombuffer(b"".join(heads), _HEADER)
    for wrong in np.flatnonzero(_checksums(headers["length"]) != headers["checksum"])[:1]:
        raise ConfigError(
            f"{path} is damaged, compressed or no TFRecord file: the length of the record at byte "
            f"{offsets[wrong]} does not match its checksum."
        )
    if at != size:
        raise ConfigError(
            f"{path} is truncated: it ends at byte {size}, within the record that begins at byte "
            f"{at if at < size else offsets[-1]}."
        )
    return np.array(offsets, np.int64), headers["length"].astype(np.int64)


def _size(path):
    """Bytes of a file."""
    try:
        if "://" not in path:
            files.check_regular(path)
        return tf.io.gfile.stat(path).length
    except (OSError, tf.errors.OpError) as error:
        raise ConfigError(f"{path} cannot be read: {files.reason(error)}.") from error


def _checksums(lengths):
    """The masked CRC-32C of each of uint64 [N], uint32 [N]."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    crc = np.full(len(lengths), 0xFFFFFFFF, np.uint32)
    for column in lengths.astype("<u8").view(np.uint8).reshape(-1, 8).T:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    return ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)


def write(path: str, examples: Iterable[bytes]) -> np.ndarray:
    """Writes a TFRecord file under a hidden name and renames it when it is complete.

    Args:
      path: the file, on this machine's disks.
      examples: the records.

    Returns:
      int64 [N], the records' lengths in bytes.
    """
    folder, name = os.path.split(path)
    lengths = []
    with (
        files.whole(path, os.path.join(folder, f".{name}.partial")) as partial,
        tf.io.TFRecordWriter(partial) as writer,
    ):
        for example in examples:
            writer.write(example)
            lengths.append(len(example))
    return np.array(lengths, np.int64)


def describe(
    paths: Sequence[str],
    recorded: Mapping[str, Shard] | None = None,
    single: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> list[Shard]:
    """Shards of TFRecord files: what info.json records, else what a scan says, in parallel.

    Args:
      paths: the files.
      recorded: path -> its Shard in info.json.
      single: the paths whose chunks must hold one record; such a file is scanned if it is recorded
        with larger ones.
      progress: called with (files done, files).

    Returns:
      Shards in the order of `paths`.

    Raises:
      ConfigError: see `scan`; or a recorded file has another size, or another first or last chunk.
    """

    def describe_one(path):
        shard, size = (recorded or {}).get(path), _size(path)
        if shard and shard.size != size:
            raise ConfigError(
                f"{path} has {size} bytes, but info.json says {shard.size}: copy the file again, "
                "or remove info.json to have the files scanned."
            )
        if shard and (shard.records_per_chunk == 1 or path not in single):
            _check_ends(shard)
            return shard
        limit = {"chunk_records": 1} if path in single else {}
        return Shard.of(path, scan(path)[1], **limit)

    shards = []
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        for shard in threads.map(describe_one, paths):
            shards.append(shard)
            if progress:
                progress(len(shards), len(paths))
    return shards


def shards_of(files: Sequence[str | Shard], single: bool) -> list[Shard]:
    """The files as shards.

    Args:
      files: paths or shards.
      single: whether their chunks must hold one record; others are scanned again.

    Raises:
      ConfigError: see `scan`.
    """
    shards = [file for file in files if isinstance(file, Shard)]
    fit = [shard for shard in shards if shard.records_per_chunk == 1 or not single]
    if len(fit) == len(files):
        return fit
    paths = [file.path if isinstance(file, Shard) else str(file) for file in files]
    recorded = {shard.path: shard for shard in shards}
    return describe(paths, recorded, paths if single else ())


def _check_ends(shard):
    """Refuses a shard that is described falsely, as its first and its last chunk show."""
    edges = [*shard.offsets.tolist(), shard.size]
    for chunk in {0, len(shard.offsets) - 1} if shard.records else ():
        before = chunk * shard.records_per_chunk
        count = min(shard.records - before, shard.records_per_chunk)
        try:
            agrees = len(scan(shard.path, edges[chunk], edges[chunk + 1])[0]) == count
        except ConfigError:
            agrees = False
        if not agrees:
            raise ConfigError(
                f"{shard.path} has other records than info.json says, or is damaged: make the file "
                "again, or remove info.json to have the files scanned."
            )


def read_ends(shard: Shard) -> bytes:
    """What tells a file from another one of its name: size, records, first and last bytes."""
    length = min(_END, shard.size)
    with tf.io.gfile.GFile(shard.path, "rb") as file:
        first = file.read(length)
        file.seek(shard.size - length)
        return b"%d %d " % (shard.size, shard.records) + first + file.read(length)


def length(records: tf.Tensor) -> tf.Tensor:
    """Bytes of records, string [n], in a file: int64 []."""
    return tf.reduce_sum(tf.cast(tf.strings.length(records), tf.int64) + _EXTRA)


def read_chunk(path: tf.Tensor, offset: tf.Tensor, count: tf.Tensor, buffer: int) -> tf.Tensor:
    """`count` records from byte `offset` on, string [count]; for tf.data functions.

    TensorFlow's own reader checks the checksums of the data, and threads read side by side since
    no Python runs. A damaged record raises tf.errors.DataLossError with its byte.
    """
    reader = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path], compression_type="", buffer_size=buffer, byte_offsets=[offset]
    )
    data = tf.data.experimental.from_variant(reader, tf.TensorSpec([], tf.string))
    return data.take(count).batch(count).get_single_element()
