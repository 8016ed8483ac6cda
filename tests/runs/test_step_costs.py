"""What a step costs: its passes as the methods say them, and memory against what is measured."""

import statistics

import pytest
import tensorflow as tf

import made_up_batch
from mpl_tf import config
from mpl_tf.networks.passes import Passes
from mpl_tf.networks.unallocated import unallocated
from mpl_tf.runs import building, step_costs

SHAPE = (32, 32, 3)
LABELED, RATIO = 8, 3


def settings(method, **options):
    sizes = {"labeled_batch": LABELED}
    if method != "supervised":
        sizes["unlabeled_ratio"] = RATIO
    return config.make(
        {"dataset": "cifar10", "network": "small", "method": method} | sizes | options
    )


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


def measured(settings):
    """Bytes in use where a step uses most, the median of three.

    The allocator counts no tensor of less than 256 KiB, and so none of this network's variables.
    """
    memory = tf.config.experimental
    try:
        before = memory.get_memory_info("CPU:0")["current"]
    except ValueError:
        pytest.skip("TensorFlow's allocator keeps no statistics here")
    method, _ = building.build_method(settings, 10, SHAPE, LABELED * RATIO)
    batch = made_up_batch.make(method, settings.run, 10, SHAPE)
    step = tf.function(method.train_step, autograph=False)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    step.get_concrete_function(batch)
    peaks = []
    for _ in range(3):  # the order of operations, and with it the peak, is not always the same
        memory.reset_memory_stats("CPU:0")
        step(batch)
        peaks.append(memory.get_memory_info("CPU:0")["peak"] - before)
    return statistics.median(peaks)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("supervised", {}),
        ("supervised", {"accumulate_steps": 2}),
        ("supervised", {"precision": "bfloat16"}),
        ("mpl", {}),
        ("vat", {"recompute": True}),
    ],
)
def test_memory_is_within_15_percent_of_what_the_allocator_reports(passes, method, options):
    made = settings(method, **options)
    peak = measured(made)
    if options.get("precision"):
        with unallocated():
            passes = {"student": Passes(building.network(made, 10, SHAPE, "student"))}
    step = costs(passes, method, **options)
    assert step.batch + step.working == pytest.approx(peak, rel=0.15)
