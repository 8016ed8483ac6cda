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
ROWS = {
    "Table 1": "Previous SOTA; Ours",
    "Table 2": """Temporal Ensemble; Mean Teacher; VAT + EntMin; LGA + VAT; ICT; MixMatch;
        ReMixMatch; EnAET; FixMatch; UDA; SimCLR; MoCov2; PCL; PIRL; BYOL; Meta Pseudo Labels;
        Supervised Learning with full dataset""",
    "Table 3": """Supervised; AutoAugment; DropBlock; FixRes; FixRes+CutMix; NoisyStudent; UDA;
        Billion-scale SSL; Meta Pseudo Labels""",
    "Table 4": """ResNet-50; ResNet-152; DenseNet-264; Inception-v3; Xception; Inception-v4;
        Inception-resnet-v2; ResNeXt-101; PolyNet; SENet; NASNet-A; AmoebaNet-A; PNASNet;
        AmoebaNet-C + AutoAugment; GPipe; EfficientNet-B7; EfficientNet-B7 + FixRes;
        EfficientNet-L2; ResNet-50 Billion-scale SSL; ResNeXt-101 Billion-scale SSL;
        ResNeXt-101 WSL; FixRes ResNeXt-101 WSL; Big Transfer (BiT-L);
        Noisy Student (EfficientNet-L2); Noisy Student + FixRes; Vision Transformer (ViT-H);
        EfficientNet-L2-NoisyStudent + SAM; Meta Pseudo Labels (EfficientNet-B6-Wide);
        Meta Pseudo Labels (EfficientNet-L2)""",
}


def cells(table):
    """The cells of each row of the table under a heading."""
    (section,) = (part for part in PAGE.split("\n## ") if part.startswith(table))
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("table", ROWS)
def test_every_row_is_there(table):
    names = [" ".join(name.split()) for name in ROWS[table].split(";")]
    assert [row[0] for row in cells(table)] == names


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
    assert len(measured) == 9
