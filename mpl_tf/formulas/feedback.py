"""The student's feedback to the teacher: pure functions (Pham et al. 2021, section 2, appendix A).

The student has just taken one step on pseudo labels q of U unlabeled images,

    theta_S' = theta_S - step * g,    g = grad_S mean_i cross_entropy(q_i, S(x_i; theta_S)),

and the teacher is to make L_l(theta_S'), the student's loss on labeled images, small. Two kinds of
estimators are here. The scalar ones (`sampled`, `dot`) measure one number h, positive when the
step helped, and make the sampled pseudo labels more likely in proportion to it. The `exact` one
gives every image and every class its own credit, which is the true gradient for soft labels.

Scale: the scalar forms average over the U images a credit that is shared by all of them, so in
expectation they are 1/U of the exact gradient, and far noisier.
"""

from collections.abc import Sequence

import tensorflow as tf


def step_factor(
    learning_rate: tf.Tensor | float, momentum: float = 0.0, nesterov: bool = False
) -> tf.Tensor | float:
    """How far SGD moves the weights against the gradient of this very step.

    Heavy-ball momentum takes `learning_rate * g` of the newest gradient into the velocity and the
    whole velocity into the weights; Nesterov's form adds another `momentum` times it. Older
    gradients in the velocity do not depend on this step's pseudo labels.

    >>> step_factor(0.5, momentum=0.5), step_factor(0.5, momentum=0.5, nesterov=True)
    (0.5, 0.75)

    Args:
      learning_rate: scalar, at least 0.
      momentum: in [0, 1).
      nesterov: whether the momentum is Nesterov's.

    Returns:
      Scalar `learning_rate * (1 + momentum)` with Nesterov, else `learning_rate`.
    """
    return learning_rate * (1 + momentum) if nesterov else learning_rate


def loss_difference(before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Feedback of the `sampled` form: `before - after`, positive when the step helped.

    >>> loss_difference(before=1.5, after=1.25)
    0.25

    Args:
      before: scalar, labeled loss of the student before its step.
      after: scalar, labeled loss after it, same images, same batch statistics, same dropout.

    Returns:
      Scalar.
    """
    return before - after


def inner_product(a: Sequence[tf.Tensor], b: Sequence[tf.Tensor]) -> tf.Tensor:
    """`sum_j <a_j, b_j>` over two sequences of tensors of the same shapes; a scalar.

    >>> float(inner_product([tf.constant([1.0, 2.0])], [tf.constant([3.0, 4.0])]))
    11.0
    """
    return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)])


def dot_product(
    labeled_gradient: Sequence[tf.Tensor],
    lesson_gradient: Sequence[tf.Tensor],
    step: tf.Tensor | float,
) -> tf.Tensor:
    """Feedback of the `dot` form: `step * <grad L_l(theta_S'), g>` (appendix A).

    The first-order part of `loss_difference` that this step's gradient caused; with momentum the
    movement that older lessons left in the velocity is not in it.

    >>> float(dot_product([tf.constant([1.0, 2.0])], [tf.constant([3.0, 4.0])], step=0.5))
    5.5

    Args:
      labeled_gradient: of the labeled loss at theta_S'.
      lesson_gradient: tensors of the same shapes, the gradient g the optimizer applied.
      step: scalar, see `step_factor`.

    Returns:
      Scalar.
    """
    return step * inner_product(labeled_gradient, lesson_gradient)


def through_clipping(
    direction: Sequence[tf.Tensor], gradient: Sequence[tf.Tensor], clip_norm: float | None
) -> list[tf.Tensor]:
    """The derivative of clipping by global norm, applied to a direction.

    With n = |g| above the limit c, clipping is g -> c * g / n, whose (symmetric) Jacobian is
    `c / n * (I - g g^T / n^2)`; below the limit it is the identity.

    >>> gradient = [tf.constant([4.0, 0.0])]
    >>> (along,) = through_clipping([tf.constant([1.0, 1.0])], gradient, clip_norm=2.0)
    >>> [round(float(d), 4) for d in along]  # nothing along the gradient, half of it across
    [0.0, 0.5]

    Args:
      direction: tensors.
      gradient: tensors of the same shapes, the gradient before clipping.
      clip_norm: above 0, or None for no clipping.

    Returns:
      Tensors of the same shapes.
    """
    if clip_norm is None:
        return list(direction)
    squared = inner_product(gradient, gradient)
    clipped = squared > clip_norm**2
    safe = tf.where(clipped, squared, tf.ones_like(squared))
    scale = tf.where(clipped, clip_norm * tf.math.rsqrt(safe), tf.ones_like(squared))
    along = inner_product(direction, gradient) / safe
    along = tf.where(clipped, along, tf.zeros_like(along))
    return [scale * (d - along * g) for d, g in zip(direction, gradient, strict=True)]


def scalar_term(
    advantage: tf.Tensor, pseudo_label: tf.Tensor, teacher_logits: tf.Tensor
) -> tf.Tensor:
    """The teacher's loss term of the scalar forms (section 2).

        advantage * mean_i cross_entropy(pseudo_label_i, T(x_i))

    Its gradient raises the probability of labels whose lesson helped more than usual.

    >>> drawn = tf.constant([[1.0, 0.0]])
    >>> round(float(scalar_term(tf.constant(2.0), drawn, tf.zeros([1, 2]))), 4)  # 2 log(2)
    1.3863

    Args:
      advantage: scalar, feedback minus baseline; no gradient passes through it.
      pseudo_label: floating [U, K], one-hot, exactly the labels the student was taught.
      teacher_logits: floating [U, K], the logits from which those labels were drawn.

    Returns:
      Scalar.
    """
    credit = -tf.reduce_sum(pseudo_label * tf.nn.log_softmax(teacher_logits), axis=-1)
    return tf.stop_gradient(advantage) * tf.reduce_mean(credit)


def exact_term(credit: tf.Tensor, teacher_logits: tf.Tensor) -> tf.Tensor:
    """The teacher's loss term of the exact form, with soft labels q = softmax(T(x)).

        sum_i sum_k q_ik * stop_gradient(credit_ik)

    `credit_ik = d L_l(theta_S') / d q_ik` to first order in the step, so that the gradient of this
    term is the gradient of L_l(theta_S - step * g(q)) with respect to the teacher.

    >>> float(exact_term(tf.constant([[-1.0, 3.0]]), tf.zeros([1, 2])))
    1.0

    Args:
      credit: floating [U, K]; negative where more of that label would help the student.
      teacher_logits: floating [U, K].

    Returns:
      Scalar.
    """
    return tf.reduce_sum(tf.nn.softmax(teacher_logits) * tf.stop_gradient(credit))


def pull(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """How strongly a term of a loss pulls on logits: the sum of the lengths of its gradients.

        sum_i |d term / d logits_i|

    A mean over images counts alike whatever their number, and so do terms of batches of different
    sizes.

    >>> float(pull([tf.constant([[3.0, 4.0], [0.0, 0.0]]), tf.constant([[0.0, 2.0]])]))
    7.0

    Args:
      gradients: floating [N_j, K] each, of the term by logits, one row an image; there may be none.

    Returns:
      Scalar, at least 0.
    """
    if not gradients:
        return tf.zeros([])
    return tf.add_n([tf.reduce_sum(tf.norm(g, axis=-1)) for g in gradients])
