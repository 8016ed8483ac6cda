"""Paths as users write them, and as TensorFlow takes them."""

import os
import tempfile

import pytest

from mpl_tf import paths
from mpl_tf.options import ConfigError


def test_the_home_folder_is_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    written = ["", "~", "~/a", "a~/~", "/x/~"]
    expected = ["", "/home/me", "/home/me/a", "a~/~", "/x/~"]
    assert [paths.local_path("to", path) for path in written] == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gs://b/x", "to must be a path on this machine; received gs://b/x. Copy it here"),
        ("file:///x", "to must be a path on this machine; received file:///x"),
        (os.fsdecode(b"a\xff"), r"to must be a path in UTF-8; received 'a\udcff'"),
        ("a\0b", r"to must be a path in UTF-8; received 'a\x00b'"),
    ],
)
def test_what_is_no_path_here_is_refused(path, message):
    with pytest.raises(ConfigError) as error:
        paths.local_path("to", path)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["plain", "~ {a,b} $c", "a[0-9]", "a*b", "a?b", "[", "a\\b"])
@pytest.mark.parametrize("can_link", [True, False])
def test_a_literal_name_leads_to_the_folder(tmp_path, monkeypatch, name, can_link):
    def refuse(*_, **__):
        raise OSError

    if not can_link:
        monkeypatch.setattr(os, "symlink", refuse)
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_text(name)
    monkeypatch.chdir(tmp_path)  # for relative ones
    for path in (str(tmp_path / name), name):
        with paths.literal(path) as literal:
            assert not set("[*?\\").intersection(literal)
            with open(os.path.join(literal, "file")) as file:
                assert file.read() == name
        assert literal == path or not os.path.lexists(literal)
    assert (tmp_path / name / "file").exists()


def test_temporary_files_under_a_pattern_are_refused(tmp_path, monkeypatch):
    (tmp_path / "t[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t[1]"))
    with pytest.raises(ConfigError, match=r"TMPDIR must name a folder without .*t\[1\]"):
        paths.literal("a[0]").__enter__()
