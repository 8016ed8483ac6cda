"""Labels that count by their class: what is taken and refused, and what losses make of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mpl_tf
from mpl_tf import config
from mpl_tf.engine import mixup
from mpl_tf.engine.class_weights import ClassWeights, as_text
from mpl_tf.options import ConfigError

K = 3
WEIGHTS = {0: 0.5, 2: 4.0}
ARRAY = np.array([0.5, 1.0, 4.0])


@pytest.mark.parametrize(
    ("class_weight", "text"),
    [
        (None, ""),
        ("", ""),
        ("balanced", "balanced"),
        ({1: 2}, "1:2.0"),
        ({np.int64(2): np.float32(0.25), 0: 1}, "0:1.0,2:0.25"),
        ("2:0.25,0:1", "0:1.0,2:0.25"),
        (dict(enumerate(np.array([0.1, 1 / 3]))), f"0:0.1,1:{1 / 3!r}"),
    ],
)
def test_what_is_taken(class_weight, text):
    assert as_text(class_weight) == text
    assert as_text(text) == text
    assert mpl_tf.FixMatch.Config(class_weight=class_weight).class_weight == text


@pytest.mark.parametrize(
    "class_weight",
    [
        "balance", "0=1", "0:1,0:2", "0:1,", "a:1", "0:-1", "0:nan", "0.5:1",
        {}, {0: -1.0}, {0: float("inf")}, {"ant": 2.0}, {-1: 1.0}, {0.5: 1.0}, {0: "2"}, {0: None},
        [1.0, 2.0], np.ones(3), 2.0, True,
    ],
)  # fmt: skip
def test_what_is_refused(class_weight):
    with pytest.raises(ConfigError, match=r"'balanced', or ids of classes .* Received"):
        mpl_tf.UDA.Config(class_weight=class_weight)


def test_classes_that_do_not_exist_and_weights_without_effect_are_refused(linear):
    with pytest.raises(ConfigError, match="classes from 0 to 2; received 3"):
        mpl_tf.FixMatch(linear(5, K), class_weight={0: 1.0, 3: 2.0})
    with pytest.raises(ConfigError, match="above 0 for some class"):
        mpl_tf.FixMatch(linear(5, K), class_weight={0: 0, 1: 0, 2: 0})


def test_a_flag_holds_them_and_a_run_keeps_them():
    made = config.make({"method": "uda", "class_weight": "1:2,0:0.5"})
    assert made.method.class_weight == "0:0.5,1:2.0"
    assert config.Config.from_flat(made.flat()).method == made.method
    with pytest.raises(ConfigError, match="class_weight must be 'balanced', or ids"):
        config.make({"class_weight": "ant:2"})


def balanced_data(labels, classes=None):
    images = np.zeros([len(labels), 5, 1, 1], np.uint8)
    return mpl_tf.data.pair(
        (images, labels), labeled_batch=2, method=mpl_tf.Supervised, num_classes=classes
    )


def test_balanced_weights_make_classes_count_alike():
    labels = np.array([0, 0, 0, 0, 0, 0, 2, 2, -1, -1])  # no label of class 1
    weights = ClassWeights("balanced", K)
    with pytest.raises(ConfigError, match="known in `fit` alone"):
        assert weights.array is not None
    assert weights.follow(balanced_data(labels), K)
    np.testing.assert_allclose(weights.array, [8 / (2 * 6), 1, 8 / (2 * 2)])
    assert np.mean(weights.array[labels[labels >= 0]]) == pytest.approx(1)
    assert not weights.follow(balanced_data(labels, classes=K), K)
    assert weights.follow(balanced_data(labels[3:]), K)
    np.testing.assert_allclose(weights.array, [5 / (2 * 3), 1, 5 / (2 * 2)])


def test_balanced_weights_of_data_that_does_not_know_its_labels_are_refused(
    linear, random_batch, endless
):
    model = mpl_tf.Supervised(linear(5, K), class_weight="balanced")
    model.compile("sgd")
    with pytest.raises(ConfigError, match="needs data that knows its labels"):
        model.fit(endless(random_batch((5,))), steps_per_epoch=1)


def test_a_second_fit_balances_by_its_own_data(random_batch, endless, linear):
    """A step that was traced with other weights is traced anew."""
    batch, start = random_batch((5,)), linear(5, K).get_weights()
    students = []
    for counts in ([[1, 1, 1], [4, 1, 1]], [[4, 1, 1]]):
        model = mpl_tf.Supervised(linear(5, K), class_weight="balanced")
        model.compile(keras.optimizers.SGD(0.5))
        for each in counts:
            model.student.set_weights(start)
            data = endless(batch)
            data.class_counts = np.array(each)
            model.fit(data, steps_per_epoch=1, verbose=0)
        students.append(model.student.get_weights())
    for a, b in zip(*students, strict=True):
        np.testing.assert_array_equal(a, b)


def weighted_by_hand(batch, logits, smoothing):
    """mean_i weight(label_i) * cross_entropy(smooth(label_i), logits_i), in numpy."""
    target = (1 - smoothing) * np.eye(K)[batch["label"]] + smoothing / K
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.mean(ARRAY[batch["label"]] * -np.sum(target * log_probs, axis=1))


LOGS_THE_LOSS_ON_LABELS_IT_TAKES_UNMIXED = [
    "adamatch", "fixmatch", "flexmatch", "freematch", "ict", "mean_teacher", "mpl", "noisy_student",
    "lga_vat", "softmatch", "temporal_ensembling", "uda", "vat",
]  # fmt: skip


@pytest.mark.parametrize("name", LOGS_THE_LOSS_ON_LABELS_IT_TAKES_UNMIXED)
def test_the_loss_on_labels_is_weighted(name, linear, random_batch, endless):
    method_class = mpl_tf.METHODS[name]
    batch = random_batch((5,)) | {"index": np.arange(6)}
    batch["weak_2"] = batch["weak"]
    batch["label"] = np.array([0, 1, 2, 2])
    more = {"num_unlabeled": 6} if method_class.needs_num_unlabeled() else {}
    if name == "noisy_student":
        more["rounds"] = 1
    model = method_class(
        *(linear(5, K) for _ in method_class.optimizers),
        class_weight=WEIGHTS, label_smoothing=0.1, **more,
    )  # fmt: skip
    optimizers = {o: keras.optimizers.SGD(0.1) for o in model.optimizers}
    model.compile(**optimizers | ({"teacher_optimizer": None} if name == "noisy_student" else {}))
    network = model.teacher if name == "mpl" else model.student
    expected = weighted_by_hand(batch, network(batch["labeled"]).numpy(), 0.1)
    history = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history
    assert history["supervised_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["mixmatch", "remixmatch", "enaet"])
def test_mixed_labels_are_weighted_by_class_and_guesses_are_not(name, monkeypatch, linear):
    """`mix` is linear in its targets: labels come in weighted on one side, and as they are."""
    seen = []

    def mix(images, targets, alpha, seed, **options):
        seen.append([target.numpy() for target in targets])
        return images, targets

    monkeypatch.setattr(mixup, "mix", mix)
    rng = np.random.default_rng(0)
    batch = {key: tf.constant(rng.normal(size=(4, 5))) for key in ("labeled", "weak", "weak_2")}
    batch |= {"label": tf.constant([0, 1, 2, 2]), "strong": batch["weak"]}
    more = {"rotation_weight": 0.0, "strong_views": 1} if name == "remixmatch" else {}
    model = mpl_tf.METHODS[name](linear(5, K), class_weight=WEIGHTS, **more)
    targets = model.targets(batch)
    weighted = ARRAY[[0, 1, 2, 2], None] * np.eye(K)[[0, 1, 2, 2]]
    np.testing.assert_allclose(targets["labels"][0], weighted)
    for guess in targets["labels"][1:]:
        np.testing.assert_array_equal(guess, targets["guess"])
    labels, *guesses = seen[0]
    np.testing.assert_allclose(labels, np.concatenate([weighted, np.eye(K)[[0, 1, 2, 2]]], 1))
    for guess in guesses:
        np.testing.assert_array_equal(guess, np.concatenate([targets["guess"]] * 2, 1))


@pytest.mark.parametrize("mix", ["none", "mixup"])
def test_supervised_learning_is_weighted(mix, monkeypatch, linear, random_batch, endless):
    batch = random_batch((5,))
    order = np.array([1, 2, 3, 0])

    def fixed(images, targets, alpha, seed, **options):
        return images, [0.75 * t + 0.25 * tf.gather(t, order) for t in targets]

    monkeypatch.setattr(mixup, "mix", fixed)
    model = mpl_tf.Supervised(linear(5, K), mix=mix, class_weight=WEIGHTS, label_smoothing=0.1)
    model.compile("sgd")
    logits = model.student(batch["labeled"]).numpy()
    partner = {**batch, "label": batch["label"][order]}
    own, other = (weighted_by_hand(b, logits, 0.1) for b in (batch, partner))
    expected = own if mix == "none" else 0.75 * own + 0.25 * other
    history = model.fit(endless(batch), steps_per_epoch=1, verbose=0).history
    assert history["student_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_what_learns_labels_before_and_after_is_weighted_too(linear, random_batch, endless):
    batch = random_batch((5,))
    model = mpl_tf.PseudoLabel(
        linear(5, K), linear(5, K), class_weight=WEIGHTS, label_smoothing=0.1
    )
    model.compile(student_optimizer="sgd", teacher_optimizer="sgd")
    before = weighted_by_hand(batch, model.teacher(batch["labeled"]).numpy(), 0.1)
    logs = model.pretrain(endless(batch), steps=1, verbose=0)["teacher"].history
    assert logs["teacher_loss"][0] == pytest.approx(before, rel=1e-5)
    after = weighted_by_hand(batch, model.ema(batch["labeled"]).numpy(), 0.0)
    logs = model.finetune(endless(batch), steps=1, verbose=0).history
    assert logs["finetuned_loss"][0] == pytest.approx(after, rel=1e-5)
