"""Loading classifiers: what they compute, and that a model file never runs code."""

import json
import os
import pickle
import random
import zipfile

import pytest
import torch
from torch import nn

from captum_pcim.classifiers.files import ModelError, fingerprint, load_model

FACTORY = """
from torch import nn

def classifier():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )

def not_a_network():
    return "a network"
"""


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ).eval()  # fmt: skip


def export(module, path):
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(module, (torch.rand(2, 2, 16, 16),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    module = network()
    torch.jit.script(module).save(str(folder / "script.pt"))
    export(module, folder / "export.pt2")
    torch.save(module.state_dict(), folder / "weights.pt")
    torch.save(module, folder / "pickled.pt")
    (folder / "pcim_test_networks.py").write_text(FACTORY)
    return folder


@pytest.fixture
def images():
    return torch.rand(5, 2, 16, 16, generator=torch.Generator().manual_seed(1))


class Bomb:
    """Unpickling this makes the file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def edited(source, destination, edit):
    """Copy an archive with its records, name to bytes, edited in place."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        records = {n.partition("/")[2]: archive.read(n) for n in archive.namelist()}
    edit(records)
    with zipfile.ZipFile(destination, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"{root}/{name}", content)
    return str(destination)


@pytest.mark.parametrize("name", ["script.pt", "export.pt2"])
def test_a_model_file_computes_what_the_module_does(files, images, name):
    loaded = load_model(str(files / name))
    torch.testing.assert_close(loaded(images), network()(images))


def test_a_factory_with_weights_computes_what_the_module_does(files, images, monkeypatch):
    monkeypatch.chdir(files)
    loaded = load_model("pcim_test_networks:classifier", "weights.pt")
    torch.testing.assert_close(loaded(images), network()(images))


@pytest.mark.parametrize("name", ["script.pt", "export.pt2", "pcim_test_networks:classifier"])
def test_models_are_in_evaluation_mode(files, monkeypatch, name):
    monkeypatch.chdir(files)
    assert not any(part.training for part in load_model(name).modules())


@pytest.mark.parametrize("name", ["script.pt", "export.pt2"])
def test_gradients_reach_the_image(files, images, name):
    images.requires_grad_()
    load_model(str(files / name))(images)[:, 0].sum().backward()
    assert images.grad.abs().sum() > 0


def test_a_pickled_module_is_refused(files):
    with pytest.raises(ModelError, match="Pickled models run code"):
        load_model(str(files / "pickled.pt"))


@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
def test_a_pickle_as_model_is_refused_unread(tmp_path, save):
    save(Bomb(tmp_path / "exploded"), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="neither TorchScript"):
        load_model(str(tmp_path / "model.pt"))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
def test_a_pickle_as_state_dict_is_refused_unread(files, tmp_path, monkeypatch, save):
    monkeypatch.chdir(files)
    save({"0.weight": Bomb(tmp_path / "exploded")}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="not a file of weights"):
        load_model("pcim_test_networks:classifier", str(tmp_path / "weights.pt"))
    assert not (tmp_path / "exploded").exists()


def test_weights_must_fit_the_model(files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    weights = network().state_dict()
    del weights["0.bias"]
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"0\.bias"):
        load_model("pcim_test_networks:classifier", str(tmp_path / "weights.pt"))


def test_weights_must_be_named_tensors(files, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    torch.save([torch.ones(1)], tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="names and tensors"):
        load_model("pcim_test_networks:classifier", str(tmp_path / "weights.pt"))


class FileWriter(nn.Module):
    def forward(self, images):
        torch.save(images, "written.bin")
        return images.mean((2, 3))


def test_a_script_that_writes_files_is_refused(tmp_path):
    torch.jit.script(FileWriter()).save(str(tmp_path / "model.pt"))
    with pytest.raises(ModelError, match=r"torch\.save"):
        load_model(str(tmp_path / "model.pt"))


class FileReader(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)) + torch.from_file("any", False, 2)


def test_a_script_that_maps_files_is_refused(tmp_path):
    torch.jit.script(FileReader()).save(str(tmp_path / "model.pt"))
    with pytest.raises(ModelError, match=r"torch\.from_file"):
        load_model(str(tmp_path / "model.pt"))


def first_node(program):
    return program["graph_module"]["graph"]["nodes"][0]


def first_size(program):
    return program["graph_module"]["graph"]["tensor_values"]["p_0_weight"]["sizes"][0]


def command(marker):
    return f"__import__('os').mkdir({str(marker)!r})"


def shell_operator(program, marker):
    first_node(program)["target"] = "torch.os.mkdir"
    first_node(program)["inputs"] = [{"name": "", "arg": {"as_string": str(marker)}, "kind": 1}]


def evaluated_size(program, marker):
    first_size(program).clear()
    first_size(program)["as_expr"] = {"expr_str": command(marker), "hint": {"as_int": 4}}


def evaluated_symbol(program, marker):
    expression = f"Symbol({command(marker)!r})"
    first_size(program).clear()
    first_size(program)["as_expr"] = {"expr_str": expression, "hint": {"as_int": 4}}


def importing_structure(program, marker):
    context = {
        "default_factory_module": "pcim_test_bomb",
        "default_factory_name": "explode",
        "dict_context": [],
    }
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = json.dumps([1, spec])


def code_as_name(program, marker):
    first_node(program)["name"] = f"x = {command(marker)}"


HOSTILE = [shell_operator, evaluated_size, evaluated_symbol, importing_structure, code_as_name]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_exported_program_that_would_run_code_is_refused(files, tmp_path, monkeypatch, hostile):
    marker = tmp_path / "exploded"
    (tmp_path / "pcim_test_bomb.py").write_text(f"import os; os.mkdir({str(marker)!r})")
    monkeypatch.syspath_prepend(tmp_path)

    def edit(records):
        program = json.loads(records["models/model.json"])
        hostile(program, marker)
        records["models/model.json"] = json.dumps(program).encode()

    path = edited(files / "export.pt2", tmp_path / "hostile.pt2", edit)
    with pytest.raises(ModelError, match="refused"):
        load_model(path)
    assert not marker.exists()


def test_an_exported_program_with_pickled_sample_inputs_is_refused(files, tmp_path):
    torch.save((Bomb(tmp_path / "exploded"),), tmp_path / "bomb.pt")

    def edit(records):
        records["data/sample_inputs/model.pt"] = (tmp_path / "bomb.pt").read_bytes()

    path = edited(files / "export.pt2", tmp_path / "hostile.pt2", edit)
    with pytest.raises(ModelError, match="sample inputs"):
        load_model(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("part", ["weights", "constants"])
def test_an_exported_program_with_pickled_tensors_is_refused(files, tmp_path, part):
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "bomb.pt")
    kind = {"weights": "weight_0", "constants": "tensor_0"}[part]

    def edit(records):
        name = f"data/{part}/model_{part}_config.json"
        config = json.loads(records[name])
        config["config"]["0.weight"] = {
            "path_name": kind, "is_param": False, "use_pickle": True, "tensor_meta": None,
        }  # fmt: skip
        records[name] = json.dumps(config).encode()
        records[f"data/{part}/{kind}"] = (tmp_path / "bomb.pt").read_bytes()

    path = edited(files / "export.pt2", tmp_path / "hostile.pt2", edit)
    with pytest.raises(ModelError, match="pickled"):
        load_model(path)
    assert not (tmp_path / "exploded").exists()


def test_guards_of_an_exported_program_are_not_run(files, tmp_path, images):
    def edit(records):
        program = json.loads(records["models/model.json"])
        program["guards_code"] = [command(tmp_path / "exploded")]
        records["models/model.json"] = json.dumps(program).encode()

    path = edited(files / "export.pt2", tmp_path / "hostile.pt2", edit)
    torch.testing.assert_close(load_model(path)(images), network()(images))
    assert not (tmp_path / "exploded").exists()


def test_compiled_code_in_an_exported_program_is_refused(files, tmp_path):
    def edit(records):
        records["data/aotinductor/model/library.so"] = b"\x7fELF"

    path = edited(files / "export.pt2", tmp_path / "hostile.pt2", edit)
    with pytest.raises(ModelError, match="more than tensors"):
        load_model(path)


def test_a_program_exported_in_training_mode_is_refused(tmp_path):
    export(network().train(), tmp_path / "model.pt2")
    with pytest.raises(ModelError, match="training mode"):
        load_model(str(tmp_path / "model.pt2"))


def test_an_archive_that_unpacks_to_far_more_is_refused(files, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"model/{name}", b"")
        archive.writestr("model/data/0", bytes(2**27))
    with pytest.raises(ModelError, match="unpacks"):
        load_model(str(tmp_path / "bomb.pt"))


@pytest.mark.parametrize("name", ["script.pt", "export.pt2"])
def test_a_damaged_model_file_is_a_clear_error(files, tmp_path, name):
    data = (files / name).read_bytes()
    dice = random.Random(0)
    for _ in range(30):
        damaged = bytearray(data[: dice.randrange(len(data))])
        if dice.random() < 0.5:
            damaged = bytearray(data)
            position = dice.randrange(len(data) - 64)
            damaged[position : position + 64] = dice.randbytes(64)
        path = tmp_path / name
        path.write_bytes(bytes(damaged))
        try:
            load_model(str(path))
        except ModelError as error:
            assert repr(str(path)) in str(error)


@pytest.mark.parametrize(
    ("model", "state_dict", "message"),
    [
        ("missing.pt", None, "neither a file nor module:factory"),
        ("pcim_test_networks:missing", None, "cannot be imported"),
        ("pcim_no_such_module:build", None, "cannot be imported"),
        ("pcim_test_networks:not_a_network", None, "must give a torch.nn.Module"),
        ("pcim_test_networks:classifier", "missing.pt", "cannot be read"),
        ("script.pt", "weights.pt", "only with module:factory"),
    ],
)
def test_what_cannot_be_loaded_is_a_clear_error(files, monkeypatch, model, state_dict, message):
    monkeypatch.chdir(files)
    with pytest.raises(ModelError, match=message):
        load_model(model, state_dict)


def test_a_device_that_is_not_there_is_a_clear_error(files):
    with pytest.raises(ModelError, match="device"):
        load_model(str(files / "script.pt"), device="no such device")


def test_the_fingerprint_is_of_the_content(files, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes((files / "script.pt").read_bytes())
    assert fingerprint(str(copy)) == fingerprint(str(files / "script.pt"))
    assert fingerprint(str(copy)) != fingerprint(str(files / "export.pt2"))
    assert fingerprint("m:f", str(copy)) != fingerprint("m:f", str(files / "export.pt2"))
