"""What tools say to input that cannot be used: one sentence, before anything runs."""

import json
import os
import sys
import types

import pytest


def end(tool, arguments):
    """The exit status, of argparse too."""
    try:
        return tool.main(arguments)
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a file, and with folders that are called like files of results."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    for name in ("table.md", "table.png", "runs.csv", "two_moons.png", "model.onnx"):
        (tmp_path / "taken" / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("compare", ["--out=file"], "file cannot be written: "),
        ("compare", ["--out=file/below"], "file is a file, no folder"),
        ("compare", ["--methods=supervised", "--out=taken"], "table.md in it is a folder, no file"),
        ("feedback_search", ["--out=file/below"], "file is a file, no folder"),
        ("feedback_search", ["--out=taken"], "runs.csv in it is a folder, no file"),
        ("feedback_norms", ["--out=file/below"], "file is a file, no folder"),
        ("feedback_norms", ["--flags=feedback=dot,workdir=x"], "must leave feedback, workdir to"),
        ("feedback_norms", ["--flags=step=3"], "Unknown command line flag 'step'"),
        ("feedback_norms", ["--draw=nowhere"], "nowhere/norms.csv is not there"),
        ("feedback_norms", ["--draw=nowhere", "--flags=steps=3"], "no effect beside --draw"),
        ("feedback_search", ["--flags=network=magic"], "network must be one of: mlp"),
        ("feedback_search", ["--flags=network=wide_resnet_0_1"], "must be 6n + 4"),
        ("feedback_search", ["--flags=head_init=probe"], "head_init"),
        ("feedback_search", ["--grid=uda_weight"], "--grid must be flag=value:value"),
        ("feedback_search", ["--grid=uda_weight=-1"], "uda_weight must be at least 0"),
        ("feedback_search", ["--weights=-1"], "must be at least 0"),
        ("feedback_search", ["--weights=0,1"], "must be above 0; runs without feedback are there"),
        ("feedback_search", ["--seeds=101"], "must be at most 100, from which on seeds are to"),
        ("feedback_search", ["--seeds=2.5"], "invalid int value: '2.5'"),
        ("feedback_search", ["--flags=seed=5,deliver=best"], "must leave deliver, seed to this"),
        ("feedback_search", ["--flags=nooverwrite"], "--flags must leave nooverwrite to this tool"),
        ("feedback_search", ["--flags=num_validation=0"], "validation images, and there are none"),
        ("feedback_search", ["--grid=workdir=a:b"], "--grid must leave workdir to this tool"),
        ("feedback_search", ["--grid=num_validation=100:200"], "must leave num_validation to"),
        ("feedback_search", ["--grid=flagfile=a"], "--grid must leave flagfile to this tool"),
        ("feedback_search", ["--grid=uda_weight=0,uda_weight=2"], "--grid must be flag=value:"),
        ("compare", ["--flags=seed=5"], "--flags must leave seed to this tool"),
        ("compare", ["--flags=flagfile=a"], "--flags must leave flagfile to this tool"),
        ("compare", ["--methods=mpl:num_labeled=40"], "--methods must leave num_labeled to this"),
        (
            "compare",
            [f"--first_seed={2**31}", "--seeds=2"],
            "2,147,483,648; received 2147483649",
        ),
        ("compare", ["--on=validation", "--flags=num_validation=0"], "and digits has none: set"),
        ("compare", ["--on=validation", "--flags=deliver=best"], "by which deliver=best chooses"),
        ("feedback_search", ["--labels=500"], "500 labels a class, none: "),
        ("two_moons", ["--out=file/below"], "file is a file, no folder"),
        ("two_moons", ["--out=taken"], "table.md in it is a folder, no file"),
        ("to_onnx", ["model", "--to=file/below.onnx"], "file is a file, no folder"),
        ("to_onnx", ["model", "--to=taken/model.onnx"], "model.onnx in it is a folder, no file"),
        ("to_litert", ["run", "--to=file/below"], "file is a file, no folder"),
        ("export_step", ["--to=file/below"], "file is a file, no folder"),
        ("prepare_data", ["tfrecord", "x", "--to=file/below"], "file is a file, no folder"),
        ("prepare_data", ["longtail", "x", "--to=new", "--ratio=0.5"], "must be at least 1"),
        ("serving_client", ["--model=m", "--server=http://host:8501", "file"], "without http://"),
        ("serving_client", ["--model=m", "--server=host:85o1", "file"], "must be host:port"),
        ("serving_client", ["--model=m", "--server=host:99999", "file"], "must be host:port"),
        ("serving_client", ["--model=m", "--server=a host", "file"], "must be host:port"),
        ("serving_client", ["--model=m", "--server=", "file"], "must be host:port"),
        ("serving_client", ["--model=m", "pipe"], "pipe is no file"),
        ("export_training", ["--to=file/below"], "file is a file, no folder"),
        ("export_training", ["--to=taken"], "--to=taken exists; choose a new folder"),
        ("export_training", ["--to=new", "--strategy=cpu", "--stages=2"], "of one device: leave"),
        ("export_training", ["--to=new", "--method=noisy_student"], "a phase before training"),
        ("export_training", ["--to=new", "--eval_image_size=12"], "leave out --eval_image_size"),
        ("import_training", ["--from=nowhere"], "nowhere must be a folder of tools/export_train"),
        ("run_training", ["nowhere"], "nowhere must hold training.json, state.npz, step.jax"),
        ("run_step", ["nowhere"], "nowhere must hold step.jax, state.npz, batch.npz"),
        ("run_step", ["--steps=3"], "--steps must be at least 4; received 3"),
        ("run_step", ["--save=nowhere/state.npz"], "--save must be a file in a folder"),
    ],
)
def test_misuse_is_explained(load_tool, place, capsys, monkeypatch, name, arguments, message):
    if name in ("run_step", "run_training", "export_training"):
        pytest.importorskip("jax")
    os.mkfifo(place / "pipe")
    before = sorted(place.rglob("*"))
    assert end(load_tool(name), arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert message in said and "Traceback" not in said
    assert sorted(place.rglob("*")) == before


def test_a_written_step_is_not_run_without_jax(load_tool, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax", None)
    assert end(load_tool("run_step"), []) == 2
    assert "jax is missing: pip install jax" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_damaged_step_is_named(load_tool, tmp_path, capsys):
    pytest.importorskip("jax")
    for name in ("step.jax", "state.npz", "batch.npz"):
        (tmp_path / name).write_bytes(b"no such thing")
    assert end(load_tool("run_step"), [str(tmp_path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path} cannot be run on cpu: " in said and "write it again" in said


@pytest.mark.parametrize(
    "server", ["localhost", "host:8501", "10.0.0.1:1", "[::1]:8501", "a_b.c-d"]
)
def test_a_host_with_or_without_a_port_is_taken(load_tool, server):
    assert load_tool("serving_client").host_and_port(server) == server


def test_names_of_models_are_quoted(load_tool, monkeypatch):
    client, urls = load_tool("serving_client"), []

    def refuse(request, timeout):
        urls.append(request.full_url)
        raise OSError("refused")

    monkeypatch.setattr(client.urllib.request, "urlopen", refuse)
    for model in ("my model/versions/2", "ä?#"):
        with pytest.raises(client.ServingError, match="refused"):
            client.rest("host:1", model, "predict", {})
    assert urls == [
        "http://host:1/v1/models/my%20model/versions/2:predict",
        "http://host:1/v1/models/%C3%A4%3F%23:predict",
    ]


@pytest.mark.parametrize("answer", [{}, [], {"predictions": [1.5]}, {"predictions": [{"a": 1}]}])
def test_an_answer_of_another_program_is_named(load_tool, monkeypatch, answer):
    client = load_tool("serving_client")
    monkeypatch.setattr(client, "rest", lambda *arguments: answer)
    for ask in (client.rest_predict, client.rest_classify):
        with pytest.raises(client.ServingError, match="m is no export of mpl_tf"):
            ask("host:1", "m", [b""])


@pytest.fixture
def results(load_tool, tmp_path):
    """A finished cell of a comparison as to its files, and the arguments of that comparison."""
    compare = load_tool("compare")
    arguments = ["--methods=supervised", "--seeds=1", "--steps=2", f"--out={tmp_path}"]
    options = compare.parse(arguments)
    cell = compare.cells.Cell("supervised", 50, 0)
    folder = tmp_path / "cells" / cell.name()
    folder.mkdir(parents=True)
    flat = compare.cells.flags.parse(cell.flags(options)).config.flat()
    (folder / "config.json").write_text(json.dumps(flat))
    accuracy = {"teacher": None, "student": 0.5, "ema": 0.5, "finetuned": None}
    content = {
        "dataset": "digits",
        "method": "supervised",
        "seed": 0,
        "steps": 2,
        "num_labeled": 50,
        "weights_digest": "0",
        "seconds": 3,
        "seconds_per_step": None,
        "test_accuracy": accuracy,
    }
    (folder / "metrics.csv").write_text("phase,step,val_ema_accuracy\ntrain,2,0.5\n")
    return types.SimpleNamespace(
        folder=folder, arguments=arguments, content=content, main=compare.main
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": "3"}, "content.seconds must be a number; received '3'"),
        ({"test_accuracy": {"ema": 0.5}}, "an accuracy must be there for each of"),
        ({"test_accuracy": None}, "has no accuracy: there are no test or validation images"),
    ],
)
def test_a_cell_with_damaged_results_fails_in_words(results, capsys, change, message):
    (results.folder / "results.json").write_text(json.dumps({**results.content, **change}))
    assert results.main(results.arguments) == 1
    assert message in capsys.readouterr().out


def test_accuracy_on_validation_images_is_called_so(results):
    for part in ("test", "validation"):
        content = {**results.content, f"{part}_accuracy": results.content["test_accuracy"]}
        if part == "validation":
            del content["test_accuracy"]
        (results.folder / "results.json").write_text(json.dumps(content))
        assert results.main(results.arguments) == 0
        table = (results.folder.parents[1] / "table.md").read_text()
        assert table.startswith(f"{part.capitalize()} accuracy (%) on digits")
    both = {**content, "test_accuracy": results.content["test_accuracy"]}
    (results.folder / "results.json").write_text(json.dumps(both))
    assert results.main([*results.arguments, "--on=validation"]) == 0
    table = (results.folder.parents[1] / "table.md").read_text()
    assert table.startswith("Validation accuracy (%) on digits")


def test_a_cell_with_a_damaged_log_has_no_curve(results, capsys):
    (results.folder / "results.json").write_text(json.dumps(results.content))
    (results.folder / "metrics.csv").write_bytes(b"\xff")
    assert results.main(results.arguments) == 0
    assert "supervised-50-0 has no curve: " in capsys.readouterr().err
    assert not (results.folder.parents[1] / "curves.png").exists()  # nothing would be in it


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "FIRST\ntest,x,none,{},0\n", "\xff\x00"])
def test_a_damaged_list_of_runs_is_refused_and_kept(load_tool, tmp_path, capsys, content):
    search = load_tool("feedback_search")
    content = content.replace("FIRST", ",".join(search.ledger.COLUMNS))
    (tmp_path / "runs.csv").write_text(content, encoding="latin-1")
    assert end(search, ["--seeds=1", f"--out={tmp_path}"]) == 2
    assert "runs.csv is damaged: " in capsys.readouterr().err
    assert (tmp_path / "runs.csv").read_text(encoding="latin-1") == content
