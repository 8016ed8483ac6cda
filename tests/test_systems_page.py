"""docs/systems.md: every row of the paper's tables, and what it names is there."""

import pathlib
import re

import pytest

from mpl_tf import networks
from mpl_tf.config import flags
from mpl_tf.methods import METHODS

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
# The paper's tables: names of rows, and behind bars the figures that it prints. Of table 4:
# millions of parameters, top-1 / top-5 on ImageNet, ImageNet-ReaL.
PAPER = {
    "Table 1": """
        Previous SOTA | 88.6 / 90.72
        Ours | 90.2 / 91.02
        """,
    "Table 2": """
        Temporal Ensemble | 83.63 ± 0.63, 92.81 ± 0.27
        Mean Teacher | 84.13 ± 0.28, 94.35 ± 0.47
        VAT + EntMin | 86.87 ± 0.39, 94.65 ± 0.19, - / 83.39
        LGA + VAT | 87.94 ± 0.19, 93.42 ± 0.36
        ICT | 92.71 ± 0.02, 96.11 ± 0.04
        MixMatch | 93.76 ± 0.06, 96.73 ± 0.31
        ReMixMatch | 94.86 ± 0.04, 97.17 ± 0.30
        EnAET | 94.65, 97.08
        FixMatch | 95.74 ± 0.05, 97.72 ± 0.38, 71.5 / 89.1
        UDA | 94.53 ± 0.18, 97.11 ± 0.17, 68.07 / 88.19
        SimCLR | -, -, 71.7 / 90.4
        MoCov2 | -, -, 71.1
        PCL | -, -, - / 85.6
        PIRL | -, -, - / 84.9
        BYOL | -, -, 68.8 / 89.0
        Meta Pseudo Labels | 96.11 ± 0.07, 98.01 ± 0.07, 73.89 / 91.38
        Supervised Learning with full dataset | 94.92 ± 0.17, 97.41 ± 0.16, 76.89 / 93.27
        """,
    "Table 3": """
        Supervised | 76.9 / 93.3
        AutoAugment | 77.6 / 93.8
        DropBlock | 78.4 / 94.2
        FixRes | 79.1 / 94.6
        FixRes+CutMix | 79.8 / 94.9
        NoisyStudent | 78.9 / 94.3
        UDA | 79.0 / 94.5
        Billion-scale SSL | 82.5 / 96.6
        Meta Pseudo Labels | 83.2 / 96.5
        """,
    "Table 4": """
        ResNet-50 | 26 | 76.0 / 93.0 | 82.94
        ResNet-152 | 60 | 77.8 / 93.8 | 84.79
        DenseNet-264 | 34 | 77.9 / 93.9 | -
        Inception-v3 | 24 | 78.8 / 94.4 | 83.58
        Xception | 23 | 79.0 / 94.5 | -
        Inception-v4 | 48 | 80.0 / 95.0 | -
        Inception-resnet-v2 | 56 | 80.1 / 95.1 | -
        ResNeXt-101 | 84 | 80.9 / 95.6 | 85.18
        PolyNet | 92 | 81.3 / 95.8 | -
        SENet | 146 | 82.7 / 96.2 | -
        NASNet-A | 89 | 82.7 / 96.2 | 82.56
        AmoebaNet-A | 87 | 82.8 / 96.1 | -
        PNASNet | 86 | 82.9 / 96.2 | -
        AmoebaNet-C + AutoAugment | 155 | 83.5 / 96.5 | -
        GPipe | 557 | 84.3 / 97.0 | -
        EfficientNet-B7 | 66 | 85.0 / 97.2 | -
        EfficientNet-B7 + FixRes | 66 | 85.3 / 97.4 | -
        EfficientNet-L2 | 480 | 85.5 / 97.5 | -
        ResNet-50 Billion-scale SSL | 26 | 81.2 / 96.0 | -
        ResNeXt-101 Billion-scale SSL | 193 | 84.8 / - | -
        ResNeXt-101 WSL | 829 | 85.4 / 97.6 | 88.19
        FixRes ResNeXt-101 WSL | 829 | 86.4 / 98.0 | 89.73
        Big Transfer (BiT-L) | 928 | 87.5 / 98.5 | 90.54
        Noisy Student (EfficientNet-L2) | 480 | 88.4 / 98.7 | 90.55
        Noisy Student + FixRes | 480 | 88.5 / 98.7 | -
        Vision Transformer (ViT-H) | 632 | 88.55 / - | 90.72
        EfficientNet-L2-NoisyStudent + SAM | 480 | 88.6 / 98.6 | -
        Meta Pseudo Labels (EfficientNet-B6-Wide) | 390 | 90.0 / 98.7 | 91.12
        Meta Pseudo Labels (EfficientNet-L2) | 480 | 90.2 / 98.8 | 91.02
        """,
}


def cells(table):
    """The cells of each row of the table under a heading."""
    (section,) = (part for part in PAGE.split("\n## ") if part.startswith(table))
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def figures(table, row):
    """What a row of the page says that the paper prints, in the form of PAPER."""
    if table == "Table 4":
        (parameters,) = re.findall(r"\((\d+)\b", row[2])
        return [row[0], parameters, row[3], row[4]]
    return [row[0], row[2]]


@pytest.mark.parametrize("table", PAPER)
def test_every_row_is_there_with_all_figures(table):
    printed = [line.strip().split(" | ") for line in PAPER[table].strip().splitlines()]
    assert [figures(table, row) for row in cells(table)] == printed


def test_every_experiment_on_imagenet_is_a_row():
    files = {p.relative_to(ROOT).as_posix() for p in (ROOT / "flags/imagenet2012").glob("*.flags")}
    assert files and files <= set(re.findall(r"`([^`]*)`", PAGE))


@pytest.mark.parametrize("table", ["Table 2", "Table 3", "Table 4"])
def test_what_a_row_names_is_there(table):
    for row in cells(table):
        here = row[1]
        assert "`" in here or here.startswith("not here")
        for code in re.findall(r"`([^`]*)`", here):
            if code.startswith("--"):
                settings = code.split()
                if not any(flag.startswith("--method") for flag in settings):
                    settings.append("--method=supervised")
                flags.parse([*settings, "--dataset=imagenet2012"])
            else:
                assert (ROOT / code).is_file()
        for name in re.findall(r"--network=([\w:]+)", here):
            networks.find(name)
        for name in re.findall(r"--method=(\w+)", here):
            assert name in METHODS


def test_measured_figures_are_those_of_the_results():
    measured = {row[1]: row[3] for row in cells("Table 2") if row[3]}
    digits = RESULTS.partition("\n## All methods, digits")[2].partition("\n## ")[0]
    for here, figures in measured.items():
        name = re.search(r"--method=(\w+)", here)
        row = re.search(rf"\n\| {name[1] if name else 'mpl'} \| ([\d.]+) [^|]*\| ([\d.]+) ", digits)
        assert figures == f"{row[1]}, {row[2]}"
    assert len(measured) == 11
