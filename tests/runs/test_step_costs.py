"""What a step costs: its passes as the methods say them, and memory against what is measured."""

import json
import os
import subprocess
import sys

import pytest
import step_memory
from step_memory import SHAPE, settings

from mpl_tf.networks.passes import Passes
from mpl_tf.networks.unallocated import unallocated
from mpl_tf.runs import building, step_costs


@pytest.fixture(scope="module")
def passes():
    with unallocated():
        network = building.network(settings("supervised"), 10, SHAPE, "student")
    each = Passes(network)
    return {"student": each, "teacher": each}


def costs(passes, method, **options):
    return step_costs.of_step(settings(method, **options), 10, SHAPE, passes)


_MPL = {"student backward": 32, "student twice": 24, "teacher backward": 56}


@pytest.mark.parametrize(
    ("method", "options", "expected", "again"),
    [
        ("supervised", {}, {"student forward": 8, "student backward": 8}, 0),
        ("supervised", {"recompute": True}, {"student forward": 16, "student backward": 8}, 8),
        ("vat", {}, {"student forward": 80, "student to_images": 24, "student backward": 56}, 0),
        ("mpl", {}, _MPL | {"teacher forward": 56, "student forward": 32}, 0),
        pytest.param(
            *("mpl", {"accumulate_steps": 4}),
            _MPL | {"teacher forward": 112, "student forward": 80},
            80,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_passes_and_what_they_multiply(passes, method, options, expected, again):
    step = costs(passes, method, **options)
    received = {
        f"{role} {mark.removeprefix('pass_')}": n for (role, mark), n in step.passes.items()
    }
    assert received == expected
    each = passes["student"]
    forward, backward, twice = each.by_weights_twice.operations
    to_images = each.by_images.operations[1] if "vat" in method else []
    parts = {"forward": forward, "backward": backward, "twice": twice, "to_images": to_images}
    cost = {name: sum(o.multiply_adds.of(1) for o in part) for name, part in parts.items()}
    # A pass that is computed again for its gradient needs no logits.
    total = sum(n * cost[name.split()[1]] for name, n in expected.items()) - again * 64 * 10
    assert step.multiply_adds == total
    assert step.passes_wait == (method != "vat")


def test_reduced_mpl_has_one_large_network_in_a_step(passes):
    """Its passes are the student's in `mpl`; the small network is 10-128-128-10 on 24 rows."""
    step, both = costs(passes, "reduced_mpl"), costs(passes, "mpl")
    assert step.passes == {key: n for key, n in both.passes.items() if key[0] == "student"}
    (first, second, last), each = (10 * 128, 128 * 128, 128 * 10), passes["student"]
    small = 24 * (3 * (second + last) + 2 * first)  # the labels that come in need no gradient
    parts = zip((32, 32, 24), each.by_weights_twice.operations, strict=True)
    large = sum(n * o.multiply_adds.of(1) for n, part in parts for o in part)
    assert step.multiply_adds == large + small
    own = 4 * (first + second + last + 128 + 128 + 10)  # and its momentum
    assert step.variables == pytest.approx(
        both.variables - 2 * 4 * each.trainable - 4 * each.other + 2 * own, abs=100
    )


STEPS = [
    ("supervised", {}),
    ("supervised", {"accumulate_steps": 2}),
    ("supervised", {"precision": "bfloat16"}),
    ("mpl", {}),
    ("reduced_mpl", {}),
    ("reduced_mpl", {"recompute": True}),  # the credit's pass begins when its direction is there
    ("vat", {"recompute": True}),
]


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """Bytes of each of STEPS, measured in a process of its own (tests/tools/step_memory.py)."""
    to = tmp_path_factory.mktemp("memory") / "peaks.json"
    command = [sys.executable, str(step_memory.__file__), json.dumps(STEPS), str(to)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = json.loads(to.read_text())
    if peaks is None:
        pytest.skip("TensorFlow's allocator keeps no statistics here")
    return peaks


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[f"{m}-{o}" for m, o in STEPS])
def test_memory_is_within_15_percent_of_what_the_allocator_reports(passes, peaks, number):
    method, options = STEPS[number]
    if options.get("precision"):
        with unallocated():
            network = building.network(settings(method, **options), 10, SHAPE, "student")
        passes = {"student": Passes(network)}
    step = costs(passes, method, **options)
    assert step.batch + step.working == pytest.approx(peaks[number], rel=0.15)
