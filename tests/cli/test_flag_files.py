"""Files of flags, as editors write them."""

import codecs
import os

import pytest

from mpl_tf.cli.flag_files import expand, line
from mpl_tf.options import ConfigError

TEXT = "# größe\n--steps=3\n\n// no\n  --name=a b  \n--rate 0.5\n--nodry\n"
FLAGS = ["--steps=3", "--name=a b", "--rate", "0.5", "--nodry"]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.rstrip().encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
    ids=["utf-8", "crlf", "no end of line", "utf-8 with a mark", "utf-16", "utf-16 big endian"],
)
def test_a_file_is_its_flags_in_any_encoding_of_editors(tmp_path, content):
    file = tmp_path / "größe.flags"
    file.write_bytes(content)
    assert expand(["a", f"--flagfile={file}", "b"]) == ["a", *FLAGS, "b"]
    assert expand(["-flagfile", str(file)]) == FLAGS


def test_a_file_may_name_others_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "inner.flags").write_text("--b=2")
    (tmp_path / "outer.flags").write_text("--a=1\n--flagfile=~/inner.flags\n--c=3")
    assert expand(["--flagfile=~/outer.flags"]) == ["--a=1", "--b=2", "--c=3"]
    assert expand(["--", "--flagfile=x"]) == ["--", "--flagfile=x"]


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        ("--steps=100  # why", ["--steps=100"]),
        ("--steps 100 # why # not", ["--steps", "100"]),
        ("--dry\t#\twhy", ["--dry"]),
        ("--steps=100 #", ["--steps=100"]),
        ("--dataset=folder:images #2", ["--dataset=folder:images #2"]),
        ("--name=a#b", ["--name=a#b"]),
        ('--name="a # b"', ["--name=a # b"]),
        ('--name "a # b" # why "so"', ["--name", "a # b"]),
        ('--name=" a "  #', ["--name= a "]),
        (r'--name="C:\new \\ \"x\" # \u2028"', ['--name=C:\\new \\ "x" # \u2028']),
        ('--name=the "x" # why', ['--name=the "x"']),
    ],
)
def test_a_comment_may_follow_a_flag(tmp_path, line, flags):
    (tmp_path / "x").write_text(line)
    assert expand([f"--flagfile={tmp_path / 'x'}"]) == flags


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0", "one flag a line, in UTF-8 or UTF-16; .*x is something else"),
        (b"\0\0\0\0", "x is something else"),
        (b"--a=\0", "x is something else"),
        (codecs.BOM_UTF16_LE + b"\0\xd8", "x is something else"),
        (b"#" * (1 << 20) + b"#", "at most 1 MB"),
        (b'--name="a', r'x: a value that begins with a quote must end .* received --name="a'),
        (b'--name="a"b', "nothing but a comment may follow"),
        (b'--name "a" b', "nothing but a comment may follow"),
        (b"--flagfile=x", "x names itself: x -> x"),
        (b"--flagfile=", "must be the path of a file of flags; received none"),
        (b"--flagfile=none", r"cannot be read: \[Errno 2\] No such file"),
        (b"--flagfile=.", "must be a file; . is none"),
        (b"--flagfile=pipe", "must be a file; pipe is none"),
    ],
)
def test_what_is_no_file_of_flags_is_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_bytes(content)
    os.mkfifo("pipe")
    with pytest.raises(ConfigError, match=message):
        expand(["--flagfile=x"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("folder:/data/set #2", "folder:/data/set #2"),
        ("folder:/data/set # 2", '"folder:/data/set # 2"'),
        ("folder:/größe #", '"folder:/größe #"'),
        ("ends with a blank ", '"ends with a blank "'),
        (' "quoted" \\', r'" \"quoted\" \\"'),
        ('"', r'"\""'),
        ("two\nlines\u2028", r'"two\u000alines\u2028"'),
        (r"C:\new", r"C:\new"),
        (r"C:\u00e9 # new", r'"C:\\u00e9 # new"'),
        ("", ""),
        (True, "True"),
        (1e-7, "1e-07"),
    ],
)
def test_a_line_is_read_back_to_its_value(tmp_path, value, text):
    assert line("name", value) == f"--name={text}"
    (tmp_path / "x").write_text(line("name", value), encoding="utf-8")
    assert expand([f"--flagfile={tmp_path / 'x'}"]) == [f"--name={value}"]
