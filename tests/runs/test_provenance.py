"""What a result was computed with."""

import subprocess

from mpl_tf.runs import provenance


def test_versions_and_revision():
    assert {"python", "tensorflow", "keras", "numpy", "mpl_tf"} <= provenance.versions().keys()
    revision = provenance.git_revision()
    assert revision is None or len(revision.removesuffix("-dirty")) == 40


def test_an_outer_repository_is_not_taken_for_ours(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_revision() is None
