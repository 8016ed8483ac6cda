"""Passes that stand in line wait for each other, and for no other work."""

import pytest
import tensorflow as tf

from mpl_tf.engine.turns import Line


def waits_for(tensor, other):
    """Whether an operation of a graph comes after another one."""
    seen, left = set(), [tensor.op]
    while left:
        operation = left.pop()
        if operation not in seen:
            seen.add(operation)
            left += [each.op for each in operation.inputs]
    return other.op in seen


@pytest.fixture
def line():
    return Line()


def test_a_pass_waits_for_the_one_before(line):
    with tf.Graph().as_default():
        images, first, second = (tf.random.uniform([2, 3]) for _ in range(3))
        assert line.after(images) is images
        line.done([first])
        waiting = line.after(images, second)
        assert waits_for(waiting, first) and waits_for(waiting, second)
        line.done([second])
        assert not waits_for(line.after(images), first)
        assert waits_for(line.after(images), second)
    with tf.Graph().as_default():
        images = tf.zeros([2, 3])
        assert line.after(images) is images  # of another graph


def test_what_goes_backward_again_waits_for_nothing_of_the_first_time(line):
    with tf.Graph().as_default():
        images, gradient = tf.random.uniform([2, 3]), tf.random.uniform([4])
        for of_pass in ("student", "teacher"):
            line.backward(of_pass)
            line.done([gradient])
        line.backward("student")
        assert line.after(images) is images
        line.done([gradient])
        line.backward("teacher")
        assert waits_for(line.after(images), gradient)


def test_nothing_is_held_where_operations_run_at_once(line):
    images = tf.zeros([2, 3])
    line.backward("student")
    line.done([images])
    assert line.after(images) is images
    line.backward("student")
    assert (line._graph, line._last, line._backward) == (None, (), ["student"])


def test_numbers_stay(line):
    @tf.function
    def step(images, other):
        line.done([other])
        return line.after(images)

    images = tf.constant([[1.5, 0.1]])
    for other in (1.0, float("inf")):
        assert step(images, tf.constant([other])).numpy().tobytes() == images.numpy().tobytes()
    graph = step.get_concrete_function(images, tf.constant([1.0])).graph
    assert waits_for(graph.outputs[0], graph.inputs[1])
