"""Finds raw files of small image sets and compares them with published checksums."""

import hashlib
import pathlib
from typing import BinaryIO

from mpl_tf.data.sources.tfds_folder import OPTIONAL_FILES, RAW_FILES, raw_files_text
from mpl_tf.options import ConfigError

# Published by the sets' authors, and of the files inside MNIST's .gz by many who use them. TFDS
# brings the rest itself.
_MD5 = {
    "cifar10": {
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    "cifar100": {
        "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def check_name(name: str) -> None:
    """Raises ConfigError if `name` is no key of RAW_FILES."""
    if name not in RAW_FILES:
        raise ConfigError(f"NAME must be one of {', '.join(RAW_FILES)}; received {name}.")


def locate(name: str, source: pathlib.Path) -> dict[str, pathlib.Path]:
    """Finds the raw files of a set in one folder.

    Args:
      name: a key of RAW_FILES.
      source: looked at are this folder, then the one in it that is called like the
        set, then the others in it.

    Returns:
      File name -> path, of the first group of RAW_FILES that is complete, and of
      optional files beside them. idx files are named without .gz, whether they have it or not.

    Raises:
      ConfigError: there is no such folder, no complete group, or one in several folders.
    """
    if not source.is_dir():
        raise ConfigError(f"--from must be a folder; received {source}.")
    inside = sorted(path for path in source.iterdir() if path.is_dir())
    namesakes = [path for path in inside if _plain(path.name) == _plain(name)]
    for folders in ([source], namesakes, inside):
        for group in RAW_FILES[name]:
            complete = [folder for folder in folders if len(_present(folder, group)) == len(group)]
            if len(complete) > 1:
                raise ConfigError(
                    f"several folders hold {', '.join(group)}: {', '.join(map(str, complete))}. "
                    "Give one of them as --from."
                )
            if complete:
                return _present(complete[0], group + OPTIONAL_FILES.get(name, ()))
    raise ConfigError(
        f"no raw files of {name} in {source} or a folder in it; wanted, in one folder: "
        f"{raw_files_text(name)}.{_what_lacks(name, [source, *inside])}"
    )


def _what_lacks(name, folders):
    """What is missing where a part is there, as sentences after a space."""
    text = ""
    for folder in folders:
        for group in RAW_FILES[name]:
            present = _present(folder, group)
            if present:
                missing = [file for file in group if file not in present]
                text += f" {folder} lacks {', '.join(missing)}."
    return text


def _plain(name):
    return name.lower().replace("_", "").replace("-", "")


def _present(folder, names):
    present = {}
    for name in names:
        endings = ("", ".gz") if name.endswith("-ubyte") else ("",)
        paths = [folder / f"{name}{ending}" for ending in endings]
        path = next((path for path in paths if path.is_file()), None)
        if path:
            present[name] = path
    return present


def published(name: str) -> dict[str, tuple[str, str]]:
    """File name -> (algorithm, hexadecimal digest) of a set's published files."""
    import tensorflow_datasets as tfds

    recorded = (tfds.builder_cls(name).url_infos or {}).values()
    by_tfds = {info.filename: ("sha256", info.checksum) for info in recorded}
    return by_tfds | {file: ("md5", digest) for file, digest in _MD5.get(name, {}).items()}


def verify(name: str | pathlib.Path, file: BinaryIO, expected: tuple[str, str] | None) -> None:
    """Raises ConfigError if a file does not have the expected digest.

    Args:
      name: what the message calls the file.
      file: at its beginning.
      expected: (algorithm, hexadecimal digest), or None for no check.
    """
    if expected is None:
        return
    algorithm, digest = expected
    received = hashlib.file_digest(file, algorithm).hexdigest()
    if received != digest:
        raise ConfigError(
            f"{name} is not the published file: {algorithm} {received}; wanted {digest}."
        )
