"""PCL against hand-written numpy."""

import keras
import numpy as np
import pytest

import mpl_tf
from mpl_tf.runs.checkpoint import Checkpoints

CONTRACT = {
    "digits": {
        "queue": 64,
        "target_momentum": 0.9,
        "clusterings": 1,
        "clusters_per_class": 2,
    },
    "moons": {"queue": 64, "target_momentum": 0.9},
    "replicas": {"queue": 10, "target_momentum": 0.8, "clusters_per_class": 1},
    "no_better_on": ("digits", "moons"),
}
SHARED = {"queue": 8, "projection": 3, "temperature": 0.4, "target_momentum": 0.8}


def make(student, pool=48, **hyperparameters):
    """On a pool of 48 images: clusterings of 3 and 6 clusters."""
    options = {"cluster_from": 1, "clusterings": 2, "clusters_per_class": 1}
    return mpl_tf.PCL(student, num_unlabeled=pool, **(SHARED | options | hyperparameters))


def concentrations(points, centroids, assigned, temperature):
    """By a loop over clusters, and numpy's percentiles."""
    spread = np.full(len(centroids), np.nan)
    for cluster, centroid in enumerate(centroids):
        own = points[assigned == cluster]
        if len(own) > 1:
            distance = np.linalg.norm(own - centroid, axis=1)
            spread[cluster] = distance.mean() / np.log(len(own) + 10)
    spread[np.isnan(spread)] = np.nanmax(spread)
    spread = np.clip(spread, *np.percentile(spread, [10, 90]))
    return temperature * spread / spread.mean()


def of_clusters(query, index, sets):
    """The prototype loss: sets are (prototypes, concentrations, assigned)."""
    losses = []
    for prototypes, phi, assigned in sets:
        rows = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
        share = np.exp(query @ rows.T / phi)
        own = share[np.arange(len(index)), assigned[index]]
        losses.append(-np.log(own / share.sum(axis=1)))
    return np.mean(losses)


def clusters_of(model):
    """(prototypes, concentrations, assigned) of each clustering."""
    each = zip(model.prototypes, model.concentrations, model.assigned, strict=True)
    return [tuple(v.numpy() for v in variables) for variables in each]


def test_three_steps_by_hand(two_layers, two_batches, in_steps, by_hand):
    """The memory has the keys of the step before it is clustered; clusters stay until the next."""
    batches = [*two_batches, two_batches[0]]
    model = make(two_layers(), cluster_every=2)  # after the second step, which is step 1
    student, projector = model.student.get_weights(), model.projector.get_weights()
    target, queue, memory = [*student[:2], *projector], model.queue.numpy(), model.memory.numpy()
    for step, batch in enumerate(batches):
        (logs,) = in_steps(model, [batch])
        key = by_hand.perceptron(by_hand.encode(batch["strong_2"], target), target[2:])
        key = by_hand.unit(key)
        memory[batch["index"]] = key
        sets = clusters_of(model)
        if step == 0:
            assert not np.any(sets[0][0])
        if step == 1:
            for prototypes, phi, assigned in sets:
                distance = np.linalg.norm(memory[:, None] - prototypes[None], axis=2)
                np.testing.assert_array_equal(assigned, distance.argmin(axis=1))
                means = [memory[assigned == c].mean(axis=0) for c in range(len(prototypes))]
                np.testing.assert_allclose(prototypes, means, atol=1e-6)
                expected = concentrations(memory, prototypes, assigned, 0.4)
                np.testing.assert_allclose(phi, expected, rtol=1e-5)
                assert phi.min() < phi.max()

        def losses(encoder, projector, batch=batch, key=key, queue=queue, sets=sets, step=step):
            features = by_hand.encode(batch["strong"], encoder)
            query = by_hand.unit(by_hand.perceptron(features, projector))
            of_images = by_hand.info_nce(query, key, queue, 0.4)
            return of_images, of_clusters(query, batch["index"], sets) if step else 0.0

        of_images, of_prototypes = losses(student[:2], projector)
        assert logs["instance_loss"] == pytest.approx(of_images, abs=1e-6)
        assert logs["prototype_loss"] == pytest.approx(of_prototypes, abs=1e-6)
        student, projector = by_hand.encoder_step(
            student, projector, batch, lambda *w, losses=losses: sum(losses(*w))
        )
        moved = zip(target, [*student[:2], *projector], strict=True)
        target = [0.8 * t + 0.2 * s for t, s in moved]
        queue = np.concatenate([key, queue[:2]])
    by_hand.assert_close(model.student.get_weights(), student, 1e-5)  # clusters are float32
    by_hand.assert_close(model.projector.get_weights(), projector, 1e-5)
    by_hand.assert_close([model.memory, model.queue], [memory, queue], 1e-5)


def test_before_its_clusters_it_is_moco(two_layers, two_batches, in_steps, by_hand):
    """To the last bit."""
    states = []
    for method in (mpl_tf.MoCoV2(two_layers(), **SHARED), make(two_layers(), cluster_from=2)):
        in_steps(method, two_batches)
        networks = method.student, method.projector, method.target, method.ema
        states.append([np.array(v) for v in (*(v for n in networks for v in n.variables),)])
        states[-1].append(method.queue.numpy())
    by_hand.assert_identical(*states)


@pytest.mark.parametrize(
    ("cluster_from", "cluster_every", "due"),
    [(1, 0, [1, 5]), (0, 0, [0, 4]), (2, 1, [2, 3, 4, 5]), (1, 3, [1, 4]), (6, 0, [])],
)
def test_clusters_are_computed_where_they_are_due(linear, cluster_from, cluster_every, due):
    """Without `cluster_every` once an epoch, which has 24 / 6 steps."""
    model = make(linear(5, 3), 24, cluster_from=cluster_from, cluster_every=cluster_every)
    changed = []
    for step in range(6):
        before = clusters_of(model)
        model.step.assign(step)
        model.cluster(6)
        pairs = zip(before, clusters_of(model), strict=True)
        moved = {not np.array_equal(old[0], new[0]) for old, new in pairs}
        changed += [step] if moved == {True} else []
        assert len(moved) == 1  # of all clusterings at once
    assert changed == due


def test_clusterings_have_more_and_more_clusters(linear):
    def counts(pool, **hyperparameters):
        model = mpl_tf.PCL(linear(5, 3), num_unlabeled=pool, **hyperparameters)
        return [rows.shape[0] for rows in model.prototypes]

    assert counts(10_000, clusters_per_class=10) == [30, 60, 120]
    assert counts(800, clusters_per_class=10, clusterings=4) == [30, 60, 100, 100]
    assert counts(6, clusterings=1) == [2]


def test_at_a_high_temperature_all_prototypes_are_alike(two_layers, more_views, in_steps):
    model = make(two_layers(), temperature=1e6, cluster_from=0)
    (logs,) = in_steps(model, [more_views])
    assert logs["prototype_loss"] == pytest.approx(np.log(18) / 2, abs=1e-5)


def test_a_restored_run_goes_on_to_the_last_bit(
    two_layers, two_batches, endless, tmp_path, by_hand
):
    """Clusters are computed before the checkpoint, used after it, and computed again."""

    def compiled():
        model = make(two_layers(), cluster_every=3)
        model.compile(keras.optimizers.SGD(0.5, momentum=0.9), run_eagerly=True)
        return model

    model = compiled()
    model.fit(endless(two_batches), steps_per_epoch=2, verbose=0)
    Checkpoints(model, str(tmp_path)).save(2)
    before = clusters_of(model)
    assert np.any(before[0][0])
    model.fit(endless(two_batches), steps_per_epoch=3, verbose=0)
    assert not np.array_equal(before[0][0], clusters_of(model)[0][0])
    again = compiled()
    assert Checkpoints(again, str(tmp_path)).restore() == 2
    by_hand.assert_identical(clusters_of(again)[0], before[0])
    again.fit(endless(two_batches), steps_per_epoch=3, verbose=0)
    by_hand.assert_identical(again.variables, model.variables)
