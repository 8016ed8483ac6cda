"""data/sources/tfds_folder.py: where a set is, and what happens if it is not there."""

import hashlib
import http.server
import json
import os
import pathlib
import socket
import threading
import time

import numpy as np
import pytest

from mpl_tf.data.sources import tfds_folder
from mpl_tf.options import ConfigError


def prepared(root, *parts, without=()):
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True)
    for name in {"dataset_info.json", "features.json"} - set(without):
        (folder / name).write_text("{}")
    return folder


def test_the_folder_is_the_given_one_then_the_environments_then_the_default(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("TFDS_DATA_DIR", "~/sets")
    assert tfds_folder.data_dir("/given") == pathlib.Path("/given")
    assert tfds_folder.data_dir() == pathlib.Path("/home/someone/sets")
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert tfds_folder.data_dir() == pathlib.Path("/home/someone/tensorflow_datasets")


def test_the_newest_complete_version_is_found(tmp_path):
    prepared(tmp_path, "mine", "3.9.0")
    newest = prepared(tmp_path, "mine", "3.10.0")
    prepared(tmp_path, "mine", "4.0.0", without=["features.json"])
    prepared(tmp_path, "mine", "5.0.0", without=["dataset_info.json"])
    prepared(tmp_path, "mine", "incomplete.XY_6.0.0")
    assert tfds_folder.find("mine", tmp_path) == newest
    assert tfds_folder.find("mine:3.9.0", str(tmp_path)) == tmp_path / "mine" / "3.9.0"
    assert tfds_folder.find("mine:4.0.0", tmp_path) is None
    for name in ("yours", "../mine", "folder:mine", ""):
        assert tfds_folder.find(name, tmp_path) is None


def test_a_config_is_the_named_one_or_the_one_noted_as_default(tmp_path):
    small, large = (prepared(tmp_path, "mine", config, "1.0.0") for config in ("a-1", "b.2"))
    assert tfds_folder.find("mine/a-1", tmp_path) == small
    assert tfds_folder.find("mine/b.2:1.0.0", tmp_path) == large
    assert tfds_folder.find("mine", tmp_path) is None
    (tmp_path / "mine" / ".config").mkdir()
    noted = tmp_path / "mine" / ".config" / "metadata.json"
    noted.write_text(json.dumps({"default_config_name": "b.2"}))
    assert tfds_folder.find("mine", tmp_path) == large


def test_a_set_that_is_there_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.delattr(tfds_folder, "silent_hosts")
    folder = prepared(tmp_path, "cifar10", "3.0.2")
    assert tfds_folder.require("cifar10", tmp_path) == folder


@pytest.fixture
def offline(monkeypatch):
    """Every host is silent; what was asked for is listed."""
    asked = []

    def silent(urls):
        asked.extend(urls)
        return sorted({url.split("/")[2] for url in urls})

    monkeypatch.setattr(tfds_folder, "silent_hosts", silent)
    return asked


def refusal(name, root):
    with pytest.raises(ConfigError) as error:
        tfds_folder.require(name, root)
    assert not list(root.iterdir()) or (root / "downloads").exists()
    return str(error.value)


@pytest.mark.parametrize("name", list(tfds_folder.RAW_FILES))
def test_without_a_network_the_raw_files_and_the_command_are_named(tmp_path, offline, name):
    message = refusal(name, tmp_path)
    for file in {file for group in tfds_folder.RAW_FILES[name] for file in group}:
        assert file in message
    assert f"dataset {name} is not in {tmp_path}" in message
    command = f"python tools/prepare_data.py tfds {name} --from=FOLDER --data_dir={tmp_path}"
    assert message.endswith(command)
    assert len(offline) > 0 and offline[0].split("/")[2] in message


def test_the_command_leaves_out_the_default_folder(tmp_path, offline, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert refusal("cifar10", tmp_path).endswith("tfds cifar10 --from=FOLDER")
    assert tfds_folder.data_dir_flag("/a b") == " '--data_dir=/a b'"


def test_other_sets_without_a_network(tmp_path, offline):
    assert "ai.stanford.edu cannot be reached" in refusal("stl10", tmp_path)
    assert "`tfds build stl10`" in refusal("stl10", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar11", "has none of that name; close ones: .*cifar10"),
        ("zzzzzzzz", "has none of that name[.]"),
        ("../cifar10", "has none of that name"),
        ("cifar10/large", "cifar10 has no configs; received large"),
        ("emnist/large", "emnist has the configs balanced, .*; received large"),
    ],
)
def test_unknown_names_are_refused_before_any_request(tmp_path, offline, name, message):
    with pytest.raises(ConfigError, match=message):
        tfds_folder.require(name, tmp_path)
    assert offline == []


def test_sets_fetched_by_hand_say_which_files_go_where(tmp_path, offline):
    message = refusal("imagenet2012", tmp_path)
    manual = tmp_path / "downloads" / "manual"
    for part in (f"{manual}:", "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        assert part in message
    assert "\n" not in message and offline == []
    # One of two: the other is still asked for, and named.
    manual.mkdir(parents=True)
    (manual / "ILSVRC2012_img_train.tar").touch()
    assert "www.image-net.org cannot be reached" in refusal("imagenet2012", tmp_path)
    assert [url.rpartition("/")[2] for url in offline] == ["ILSVRC2012_img_val.tar"]


class Handler(http.server.BaseHTTPRequestHandler):
    """/status/NUMBER answers with that status, everything else with eight bytes."""

    def do_GET(self):
        status = int(self.path.rpartition("/")[2]) if "/status/" in self.path else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(bytes(range(8)))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """The address of a web server on this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def mute():
    """The address of a host that accepts connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_hosts_that_answer_and_hosts_that_do_not(server, closed_port):
    assert tfds_folder.silent_hosts([f"{server}/a", f"{server}/b"]) == []
    assert tfds_folder.silent_hosts([f"{server}/status/404"]) == []
    assert tfds_folder.silent_hosts([f"{server}/status/503"]) == [server[7:]]
    assert tfds_folder.silent_hosts([f"http://{closed_port}/", f"{server}/"]) == [closed_port]
    assert tfds_folder.silent_hosts(["gs://bucket/file"]) == []


def test_a_mute_host_costs_no_more_than_the_limit(mute, server):
    began = time.monotonic()
    assert tfds_folder.silent_hosts([f"http://{mute}/", f"{server}/"], seconds=1) == [mute]
    assert time.monotonic() - began < 3


def test_slow_name_resolution_costs_no_more_than_the_limit(monkeypatch):
    def resolve(*arguments, **options):
        time.sleep(3)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    began = time.monotonic()
    assert tfds_folder.silent_hosts(["http://far.example/"], seconds=0.2) == ["far.example"]
    assert time.monotonic() - began < 2


@pytest.fixture
def local_set(server):
    """The name of a registered set of eight 1x1 images, downloaded from `server`."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import UrlInfo

    url = f"{server}/eight"
    info = UrlInfo(8, hashlib.sha256(bytes(range(8))).hexdigest(), "eight")

    class Eight(tfds.core.GeneratorBasedBuilder):
        name = f"eight_{server.rpartition(':')[2]}"  # no name may be registered twice
        VERSION = tfds.core.Version("1.2.0")
        url_infos = {url: info}  # noqa: RUF012

        def _info(self):
            features = {"image": tfds.features.Image(shape=(1, 1, 1))}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(manager.download(url))}

        def _generate_examples(self, path):
            for value in pathlib.Path(path).read_bytes():
                yield value, {"image": np.full([1, 1, 1], value, np.uint8)}

    return Eight.name


def test_a_set_whose_host_answers_is_downloaded_and_prepared(local_set, tmp_path):
    import tensorflow_datasets as tfds

    folder = tfds_folder.require(local_set, tmp_path)
    assert folder == tmp_path / local_set / "1.2.0" == tfds_folder.find(local_set, tmp_path)
    data = tfds.builder_from_directory(folder).as_dataset(split="train")
    assert sorted(int(e["image"][0, 0, 0]) for e in data) == list(range(8))


def test_a_preparation_that_fails_is_a_users_error(local_set, tmp_path):
    import tensorflow_datasets as tfds

    ((_, info),) = tfds.builder_cls(local_set).url_infos.items()
    info.checksum = "0" * 64
    with pytest.raises(ConfigError, match=r"could not prepare eight_.* in .*wrong checksum"):
        tfds_folder.require(local_set, tmp_path)
    assert tfds_folder.find(local_set, tmp_path) is None


def test_a_real_set():
    root = os.environ.get("TFDS_DATA_DIR")
    if not root or tfds_folder.find("cifar10", root) is None:
        pytest.skip("needs CIFAR-10 in the folder that TFDS_DATA_DIR names")
    import tensorflow_datasets as tfds

    folder = tfds_folder.require("cifar10", root)
    info = tfds.builder_from_directory(folder).info
    assert {k: v.num_examples for k, v in info.splits.items()} == {"train": 50000, "test": 10000}
    assert info.features["label"].names[:2] == ["airplane", "automobile"]
