"""The report: a panel for what has values, none for what has not."""

import logging

import matplotlib.colors
import numpy as np
import pytest

from mpl_tf.data import arrays
from mpl_tf.engine.method import Panel
from mpl_tf.runs import answers, drawing, pictures

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

    def draw(metrics, shares="", panels=(), tested=True, finetuned=None):
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
            accuracy={"ema": 0.5, "finetuned": finetuned} if tested else {},
            probs=np.full([6, 2], 0.5) if tested else None,
            images=images if tested else None,
            labeled=images,
            class_names=("ant", "bee"),
        )
        assert path.read_bytes().startswith(b"\x89PNG")
        return {axes.get_title(): axes for axes in drawn[-1].axes if axes.get_title()}

    return draw


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("names", [(r"$\frac{1}{$", "_b"), ("x" * 300, "日本"), ("", "\n")])
def test_any_class_name_and_size_is_drawn(size, names, tmp_path, rng, messages):
    (tmp_path / "pseudo_labels.csv").write_text("phase,step,a,b\ntrain,1,0.25,0.75\n")
    images = arrays.arrays(rng.integers(0, 256, (6, size, size, 1), np.uint8), np.arange(6) % 2)
    probs = np.full([6, 2], 0.5)
    pictures.draw(
        str(tmp_path / "report.png"),
        title=f"{names[0]} on a very long path",
        workdir=str(tmp_path),
        panels=(),
        part="test",
        accuracy={},
        probs=probs,
        images=images,
        labeled=images,
        class_names=names,
    )
    answers.draw(
        str(tmp_path / "evaluation.png"),
        title=names[0],
        probs=probs,
        labels=images.labels,
        class_names=names,
    )
    assert messages(logging.WARNING) == ""
    assert {"report.png", "evaluation.png"} < {path.name for path in tmp_path.iterdir()}


def test_a_damaged_table_costs_the_picture_alone(tmp_path, messages):
    (tmp_path / "metrics.csv").write_bytes(b"\xff")
    labeled = arrays.arrays(np.zeros((2, 8, 8, 1), np.uint8), np.arange(2))
    pictures.draw(
        str(tmp_path / "report.png"),
        title="run",
        workdir=str(tmp_path),
        panels=(),
        part="test",
        accuracy={},
        probs=None,
        images=None,
        labeled=labeled,
        class_names=("ant", "bee"),
    )
    assert "report.png could not be drawn" in messages(logging.WARNING)


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


def test_titles_are_no_wider_than_their_panels(figure):
    words = "Feedback's share of the pull on the teacher's logits, {}"
    panels = tuple(Panel(words.format(n), {"gain": "mean"}, low=0.0) for n in range(6))
    titles = figure("phase,step,student_loss,gain\ntrain,1,2,0.1\n", "", panels)
    long = [axes for text, axes in titles.items() if text.startswith("Feedback's")]
    assert len(long) == len(panels)
    assert all(axes.title.get_window_extent().width < axes.bbox.width for axes in long)


def test_the_same_thing_has_the_same_colour_in_all_panels(figure):
    """And a network's is its alone; the main loss of one has a solid line, others have not."""
    metrics = (
        "phase,step,student_labeled_loss,student_loss,teacher_loss,supervised_loss,uda_loss,"
        "val_student_accuracy,val_teacher_accuracy,mask_rate,gain,offset\n"
        "train,2,1,1,1,1,1,0.5,0.5,0.5,1,1\n"
    )
    panels = figure(metrics, "phase,step,ant,bee\ntrain,1,0.25,0.75\n", (PANEL,))
    lines = {line.get_label(): line for axes in panels.values() for line in axes.lines}
    colors = {name: line.get_color() for name, line in lines.items()}
    assert colors["student"] == colors["student_loss"] == colors["student_labeled_loss"]
    assert colors["teacher"] == colors["teacher_loss"] != colors["student"]
    others = {colors[name] for name in ("supervised_loss", "uda_loss", "mean", "offset")}
    assert not others & set(drawing.NETWORK_COLORS.values())
    bars = {bar.get_label(): bar[0] for bar in panels["Share of each class"].containers}
    cyan = matplotlib.colors.to_rgba(colors["confident (mask rate)"])
    assert bars["pseudo labels (last row)"].get_facecolor() == cyan
    gray = matplotlib.colors.to_rgba(colors["supervised_loss"])
    assert bars["labels"].get_facecolor() == gray
    styles = [lines[name].get_linestyle() for name in ("student_loss", "student_labeled_loss")]
    assert styles == ["-", "--"]


def test_a_single_point_is_seen_on_an_axis_of_whole_steps(figure):
    metrics = "phase,step,student_loss,val_ema_accuracy,gain,gain_std\ntrain,2,1,0.5,3,1\n"
    for axes in list(figure(metrics, panels=(PANEL,)).values())[:3]:
        assert axes.lines[0].get_marker() == "."
        assert axes.get_xlim()[0] == 0 < 2 < axes.get_xlim()[1]
        assert all(step == int(step) for step in axes.get_xticks())


def test_a_flat_curve_of_accuracies_looks_flat(figure):
    metrics = "phase,step,val_ema_accuracy\ntrain,2,0.5\ntrain,4,0.501\n"
    low, high = figure(metrics)["Accuracy on validation images"].get_ylim()
    assert low <= 0.46 and high >= 0.54


def test_accuracy_on_test_images_is_a_point_at_the_last_step(figure):
    metrics = "phase,step,val_student_accuracy,val_ema_accuracy\ntrain,2,0.5,\ntrain,8,0.6,0.7\n"
    axes = figure(metrics, finetuned=0.75)["Accuracy on validation images; \u25c6 test"]
    (point,) = (line for line in axes.lines if line.get_marker() == "D")
    assert point.get_xydata().tolist() == [[8, 0.75]]
    assert point.get_label() == "finetuned, test images: 0.750"
    without = figure(metrics)["Accuracy on validation images"]
    assert "D" not in [line.get_marker() for line in without.lines]


def test_a_finetuned_run_without_validation_images_has_its_picture(figure):
    titles = list(figure("phase,step,student_loss\ntrain,2,1.5\n", finetuned=0.75))
    assert titles[0] == "Training losses" and titles[1].startswith("Test images: true class")


def test_a_run_without_any_value_gives_a_picture_too(figure):
    assert figure("phase,step\n", tested=False) == {}


@pytest.mark.parametrize(
    ("panels", "columns"), [(0, 1), (1, 1), (2, 2), (4, 4), (5, 3), (6, 3), (7, 4), (8, 4), (9, 3)]
)
def test_rows_of_panels_leave_few_places_empty(panels, columns):
    assert pictures._columns(panels) == columns
