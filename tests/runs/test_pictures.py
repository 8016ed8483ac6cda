"""The report: a panel for what has values, none for what has not."""

import numpy as np
import pytest

from mpl_tf.data import arrays
from mpl_tf.engine.method import Panel
from mpl_tf.runs import pictures

PANEL = Panel("Gain", {"gain": "mean", "offset": "offset", "none": "none"}, band="gain_std")


@pytest.fixture
def figure(tmp_path, monkeypatch, rng):
    """figure(metrics, shares, panels): the titles of the axes, and the axes, of a drawn report."""
    drawn = []
    save = pictures.Figure.savefig

    def keep(figure, *arguments, **keywords):
        drawn.append(figure)
        return save(figure, *arguments, **keywords)

    monkeypatch.setattr(pictures.Figure, "savefig", keep)

    def draw(metrics, shares="", panels=(), tested=True):
        (tmp_path / "metrics.csv").write_text(metrics)
        if shares:
            (tmp_path / "pseudo_labels.csv").write_text(shares)
        images = arrays.arrays(rng.integers(0, 256, (6, 8, 8, 1), np.uint8), np.arange(6) % 2)
        path = tmp_path / "report.png"
        pictures.draw(
            str(path),
            title="run",
            workdir=str(tmp_path),
            panels=panels,
            part="test",
            accuracy={"ema": 0.5, "finetuned": None} if tested else {},
            probs=np.full([6, 2], 0.5) if tested else None,
            images=images if tested else None,
            labeled=images,
            class_names=("ant", "bee"),
        )
        assert path.read_bytes().startswith(b"\x89PNG")
        return {axes.get_title(): axes for axes in drawn[-1].axes if axes.get_title()}

    return draw


def test_a_run_without_unlabeled_images_has_no_panel_of_them(figure):
    metrics = "phase,step,student_loss,val_ema_accuracy\ntrain,2,1.5,\ntrain,2,,0.5\n"
    titles = list(figure(metrics))
    assert titles[:2] == ["Accuracy on validation images", "Training losses"]
    assert titles[2].startswith("Test images: true class")
    assert not {"Share of unlabeled images", "Share of each class", "Gain"} & set(titles)


def test_a_method_adds_panels_of_what_it_has_logged(figure):
    metrics = "phase,step,student_loss,mask_rate,gain,gain_std,offset\ntrain,1,2,0.1,3,0.5,0\n"
    other = Panel("Never logged", {"missing": "missing"})
    axes = figure(metrics, "phase,step,ant,bee\ntrain,1,0.25,0.75\n", (PANEL, other))
    assert {"Share of unlabeled images", "Share of each class", "Gain"} < set(axes)
    assert "Never logged" not in axes
    (mean, zero), (band,) = axes["Gain"].lines, axes["Gain"].collections
    assert mean.get_ydata().tolist() == [3] and zero.get_ydata() == [0, 0]
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == (2.5, 3.5)
    legend = [text.get_text() for text in axes["Gain"].get_legend().get_texts()]
    assert legend == ["mean", "± std"]  # an offset of 0 everywhere is none
    bars = [bar.get_height() for bar in axes["Share of each class"].patches]
    assert bars == [0.5, 0.5, 0.25, 0.75]


def test_a_run_without_any_value_gives_a_picture_too(figure):
    assert figure("phase,step\n", tested=False) == {}


@pytest.mark.parametrize(
    ("panels", "columns"), [(0, 1), (1, 1), (2, 2), (4, 4), (5, 3), (6, 3), (7, 4), (8, 4), (9, 3)]
)
def test_rows_of_panels_leave_few_places_empty(panels, columns):
    assert pictures._columns(panels) == columns
