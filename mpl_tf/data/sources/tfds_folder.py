"""Where TensorFlow Datasets keeps a set on this machine, and how one gets there."""

import difflib
import json
import os
import pathlib
import re
import shlex
import threading
import time
import urllib.parse
from collections.abc import Iterable

from mpl_tf.options import ConfigError

_IDX = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
# The files `tools/prepare_data.py tfds` builds a set from: any one of the groups is enough.
RAW_FILES = {
    "cifar10": (
        ("cifar-10-python.tar.gz",),
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
        ("cifar-10-binary.tar.gz",),
    ),
    "cifar100": (
        ("cifar-100-python.tar.gz",),
        ("train", "test", "meta"),
        ("cifar-100-binary.tar.gz",),
    ),
    "svhn_cropped": (("train_32x32.mat", "test_32x32.mat"),),
    "mnist": (_IDX,),
    "fashion_mnist": (_IDX,),
    "kmnist": (_IDX,),
}
# Used too if they are there.
OPTIONAL_FILES = {"svhn_cropped": ("extra_32x32.mat",)}

_NAME = re.compile(r"(?P<set>\w+)(/(?P<config>[\w.-]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_PROBE_SECONDS = 5.0
# TFDS asks again after these, ten times and at growing intervals; after others it gives up at once.
_RETRIED = (500, 502, 503, 504)


def data_dir(choice: str | os.PathLike = "") -> pathlib.Path:
    """The folder that holds TFDS's sets.

    Args:
      choice: the user's; if empty, the environment variable TFDS_DATA_DIR, and
        without that ~/tensorflow_datasets, as in TFDS itself.

    Returns:
      A path that need not exist.
    """
    folder = choice or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(folder).expanduser()


def find(name: str, data_dir: str | os.PathLike) -> pathlib.Path | None:
    """The newest prepared version of a set.

    Args:
      name: "NAME", "NAME/CONFIG" or either with ":VERSION" added. Without CONFIG, a set that
        has configs is looked up under the one that TFDS noted as its default.
      data_dir: the folder that holds TFDS's sets.

    Returns:
      The version's folder, with dataset_info.json and features.json in it, or None.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    folder = pathlib.Path(data_dir) / match["set"]
    if match["config"]:
        return _newest(folder / match["config"], match["version"])
    newest, metadata = _newest(folder, match["version"]), folder / ".config" / "metadata.json"
    if newest is None and metadata.is_file():
        default = json.loads(metadata.read_text(encoding="utf-8")).get("default_config_name")
        newest = _newest(folder / default, match["version"]) if default else None
    return newest


def _newest(folder, version):
    prepared = [
        path
        for path in folder.glob("*.*.*")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.name)
        and version in (None, path.name)
        and (path / "dataset_info.json").is_file()
        and (path / "features.json").is_file()
    ]
    return max(prepared, key=lambda path: [int(n) for n in path.name.split(".")], default=None)


def require(name: str, data_dir: str | os.PathLike) -> pathlib.Path:
    """A set's folder; if it is not there, TFDS downloads and prepares it.

    A download is only begun if its hosts answer: TFDS itself would try an unreachable host for
    204 s.

    Args:
      name: as in `find`.
      data_dir: the folder that holds TFDS's sets.

    Returns:
      As from `find`.

    Raises:
      ConfigError: TFDS does not know the name (close ones are listed) or the config, its download
        hosts do not answer within 5 s, files that must be fetched by hand are missing, or the
        preparation failed. The message says which files help and where they belong.
    """
    folder = find(name, data_dir)
    if folder is not None:
        return folder
    import tensorflow_datasets as tfds  # slow to import

    builder_class = _registered(tfds, name, data_dir)

    # Where TFDS looks for files that it cannot or need not download.
    manual = pathlib.Path(data_dir) / "downloads" / "manual"
    fetched = {path.name for path in manual.glob("*")}
    advice = raw_files_advice(name, data_dir)
    if builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS:
        instructions = " ".join(builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        advice = f"TFDS looks for files fetched by hand in {manual}: {instructions}"
        if not fetched:
            raise ConfigError(f"dataset {name} is not in {data_dir}. {advice}")
    recorded = builder_class.url_infos or {}
    if not recorded and not fetched:
        # Google's storage, where many sets lie, stands for addresses that nobody wrote down.
        urls = ["https://storage.googleapis.com/"]
    else:
        urls = [url for url, info in recorded.items() if fetched.isdisjoint(_file_names(url, info))]
    silent = silent_hosts(urls)
    if silent:
        raise ConfigError(
            f"dataset {name} is not in {data_dir} and cannot be downloaded, as {', '.join(silent)} "
            f"cannot be reached. {advice}"
        )
    return _prepared(tfds, name, data_dir, advice)


def _registered(tfds, name, data_dir):
    """The builder class of a name."""
    names = tfds.list_builders(with_community_datasets=False)
    match = _NAME.fullmatch(name)
    if match is None or match["set"] not in names:
        close = difflib.get_close_matches(name, names, n=5)
        raise ConfigError(
            f"dataset {name} is not in {data_dir}, and TensorFlow Datasets {tfds.__version__} has "
            f"none of that name{'; close ones: ' + ', '.join(close) if close else ''}."
        )
    builder_class = tfds.builder_cls(match["set"])
    configs = {config.partition(":")[0] for config in builder_class.builder_configs}
    if match["config"] and match["config"] not in configs:
        raise ConfigError(
            f"dataset {match['set']} has "
            f"{'the configs ' + ', '.join(sorted(configs)) if configs else 'no configs'}; received "
            f"{match['config']}."
        )
    return builder_class


def _file_names(url, info):
    return {info.filename, urllib.parse.urlsplit(url).path.rpartition("/")[2]}


def _prepared(tfds, name, data_dir, advice):
    """Has TFDS download and prepare a set; returns its folder."""
    try:
        builder = tfds.builder(name, data_dir=os.fspath(data_dir))
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # whatever it is, the user needs to know what TFDS was doing
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"TensorFlow Datasets could not prepare {name} in {data_dir}: {reason} {advice}"
        ) from error
    return pathlib.Path(builder.data_dir)


def silent_hosts(urls: Iterable[str], seconds: float = _PROBE_SECONDS) -> list[str]:
    """The hosts that give no answer to a request for one address each.

    Requests go through the proxies of the environment, as TFDS's own do, all at once and once
    only; an answer is any status but the ones that TFDS takes for a passing fault.

    Args:
      urls: addresses; other ones than http and https are passed over.
      seconds: limit on the time of all requests together, name resolution included.

    Returns:
      Sorted host names; none if all answer.
    """
    import requests

    url_of: dict[str, str] = {}
    for url in urls:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https"):
            url_of.setdefault(parts.netloc, url)
    answered: set[str] = set()

    def ask(host, url):
        try:
            with requests.get(url, stream=True, timeout=seconds) as response:
                if response.status_code not in _RETRIED:
                    answered.add(host)
        except requests.RequestException:
            pass  # silent

    # Daemons, because nothing interrupts the resolution of a name.
    threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in url_of.items()]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return sorted(set(url_of) - answered)


def raw_files_text(name: str) -> str:
    """The files a set can be built from, in words.

    Args:
      name: a key of RAW_FILES.

    Returns:
      The groups separated by "; or".
    """
    text = "; or ".join(", ".join(group) for group in RAW_FILES[name])
    if name in OPTIONAL_FILES:
        text += f", and if you like {', '.join(OPTIONAL_FILES[name])}"
    return text + (", each with or without .gz" if RAW_FILES[name] == (_IDX,) else "")


def raw_files_advice(name: str, data_dir: str | os.PathLike) -> str:
    """What to do without a network: one or two sentences with a command.

    Args:
      name: as in `find`.
      data_dir: the folder that holds TFDS's sets.
    """
    if name not in RAW_FILES:
        return (
            f"Prepare it where there is a network with `tfds build {name}` and copy its folder to "
            f"{data_dir}."
        )
    return (
        f"With its raw files in a folder ({raw_files_text(name)}): python tools/prepare_data.py "
        f"tfds {name} --from=FOLDER{data_dir_flag(data_dir)}"
    )


def data_dir_flag(folder: str | os.PathLike) -> str:
    """A space and `--data_dir=FOLDER`, or "" if that is where `data_dir()` points anyway."""
    return "" if pathlib.Path(folder) == data_dir() else " " + shlex.quote(f"--data_dir={folder}")
