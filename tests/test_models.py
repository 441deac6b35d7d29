"""Loading classifiers: what they compute, and that no file runs code unless it is trusted."""

import os
import pickle
import random
import sys

import fresh
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from captum_pcim import PCIM, ForwardOnly
from captum_pcim.classifiers.files import ModelError, fingerprint, load_model
from captum_pcim.classifiers.trusted import StaticBatches
from captum_pcim.core.warn import PCIMWarning

FACTORY = """
from torch import nn

class Classifier(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )

def not_a_network():
    return "a network"
"""
CODE_FORMATS = ["script.pt", "export.pt2", "pickled.pt"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with one classifier in every format, and the classifier's code."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "pcim_test_networks.py").write_text(FACTORY)
    sys.path.insert(0, str(folder))
    from pcim_test_networks import Classifier

    torch.manual_seed(0)
    module = Classifier().eval()
    torch.jit.script(module).save(str(folder / "script.pt"))
    export(module, folder / "export.pt2")
    torch.save(module, folder / "pickled.pt")
    torch.save(module.state_dict(), folder / "weights.pt")
    save_file(module.state_dict(), folder / "weights.safetensors")
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        module, (torch.rand(2, 2, 16, 16),), folder / "net.onnx", dynamo=True,
        dynamic_shapes=batch, external_data=False, verbose=False,
    )  # fmt: skip
    yield folder
    sys.path.remove(str(folder))


def export(module, path):
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(module, (torch.rand(2, 2, 16, 16),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


@pytest.fixture
def network(files):
    return torch.load(files / "pickled.pt", weights_only=False)


@pytest.fixture
def images():
    return torch.rand(5, 2, 16, 16, generator=torch.Generator().manual_seed(1))


class Pair(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)), images


class Bomb:
    """Unpickling this makes the folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", CODE_FORMATS)
def test_a_trusted_file_computes_what_the_module_does(files, images, network, name):
    loaded = load_model(str(files / name), trust=True)
    torch.testing.assert_close(loaded(images), network(images))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_program_of_so_many_images_takes_any_number(tmp_path, images, network, rows):
    program = torch.export.export(network, (torch.rand(rows, 2, 16, 16),))
    torch.export.save(program, tmp_path / "static.pt2")
    loaded = load_model(str(tmp_path / "static.pt2"), trust=True)
    torch.testing.assert_close(loaded(images), network(images))


def test_a_program_of_so_many_images_says_that_it_returns_no_scores(images):
    with pytest.raises(TypeError, match="expected it to return a tensor of scores, got tuple"):
        StaticBatches(Pair(), 3)(images)


@pytest.mark.parametrize("weights", ["weights.pt", "weights.safetensors"])
def test_a_factory_with_weights_computes_what_the_module_does(files, images, network, weights):
    loaded = load_model("pcim_test_networks:Classifier", str(files / weights))
    torch.testing.assert_close(loaded(images), network(images))


def test_an_onnx_file_computes_what_the_module_does(files, images, network):
    loaded = load_model(str(files / "net.onnx"))
    torch.testing.assert_close(loaded(images), network(images), atol=1e-5, rtol=0)


def test_an_onnx_file_is_explained_from_forward_passes_alone(files, images):
    with pytest.warns(UserWarning, match="not differentiable"):
        found = PCIM(load_model(str(files / "net.onnx"))).attribute(images[:1], target=1)
    source = ForwardOnly()
    given = PCIM(load_model(str(files / "net.onnx")), gradients=source)
    assert torch.equal(found, given.attribute(images[:1], target=1))


@pytest.mark.parametrize("name", [*CODE_FORMATS, "pcim_test_networks:Classifier"])
def test_models_are_in_evaluation_mode(files, monkeypatch, name):
    monkeypatch.chdir(files)
    assert not any(part.training for part in load_model(name, trust=True).modules())


@pytest.mark.parametrize("name", CODE_FORMATS)
def test_gradients_reach_the_image(files, images, name):
    images.requires_grad_()
    load_model(str(files / name), trust=True)(images)[:, 0].sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CODE_FORMATS)
def test_a_file_that_may_run_code_is_refused_with_what_to_add_and_why(files, name):
    with pytest.raises(ModelError, match=r"may run code.*add --trust \(trust=True in Python"):
        load_model(str(files / name))


@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
def test_without_trust_a_pickle_is_not_read(tmp_path, save):
    save(Bomb(tmp_path / "exploded"), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="--trust"):
        load_model(str(tmp_path / "model.pt"))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_state_dict_never_runs_code_trusted_or_not(files, tmp_path, save, name):
    save({"0.weight": Bomb(tmp_path / "exploded")}, tmp_path / name)
    with pytest.raises(ModelError, match="not a file of weights"):
        load_model("pcim_test_networks:Classifier", str(tmp_path / name), trust=True)
    assert not (tmp_path / "exploded").exists()


def test_an_onnx_file_holds_no_pickle_whatever_its_name_says(tmp_path):
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx' cannot be loaded"):
        load_model(str(tmp_path / "net.onnx"), trust=True)
    assert not (tmp_path / "exploded").exists()


def test_weights_must_fit_the_model(files, tmp_path, network):
    weights = network.state_dict()
    del weights["0.bias"]
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=r"0\.bias"):
        load_model("pcim_test_networks:Classifier", str(tmp_path / "weights.pt"))


def test_weights_must_be_named_tensors(files, tmp_path):
    torch.save([torch.ones(1)], tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="names and tensors"):
        load_model("pcim_test_networks:Classifier", str(tmp_path / "weights.pt"))


def test_a_trusted_file_must_hold_a_module(files):
    with pytest.raises(ModelError, match=r"must hold a torch\.nn\.Module.*module:factory"):
        load_model(str(files / "weights.pt"), trust=True)


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.BatchNorm2d(2)])
def test_a_program_exported_in_training_mode_is_refused(tmp_path, layer):
    export(nn.Sequential(layer, nn.Flatten()).train(), tmp_path / "model.pt2")
    with pytest.raises(ModelError, match="training mode"):
        load_model(str(tmp_path / "model.pt2"), trust=True)


@pytest.mark.parametrize("name", ["script.pt", "export.pt2", "net.onnx"])
def test_a_damaged_model_file_is_a_clear_error(files, tmp_path, name):
    data = (files / name).read_bytes()
    dice = random.Random(0)
    for _ in range(30):
        path = tmp_path / name
        path.write_bytes(data[: dice.randrange(len(data) - 64)])
        with pytest.raises(ModelError) as caught:
            load_model(str(path), trust=True)
        assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize(
    ("model", "state_dict", "message"),
    [
        ("missing.pt", None, "neither a file nor module:factory"),
        ("missing.onnx", None, "neither a file nor module:factory"),
        ("pcim_test_networks:missing", None, "cannot be imported"),
        ("pcim_no_such_module:build", None, "cannot be imported"),
        ("pcim_test_networks:not_a_network", None, "must give a torch.nn.Module"),
        ("pcim_test_networks:Classifier", "missing.pt", "state_dict: there is no file"),
        ("script.pt", "weights.pt", "only with module:factory"),
    ],
)
def test_what_cannot_be_loaded_is_a_clear_error(files, monkeypatch, model, state_dict, message):
    monkeypatch.chdir(files)
    with pytest.raises(ModelError, match=message):
        load_model(model, state_dict)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def build():\n    raise KeyError('depth')\n",
            "gives no network: KeyError: 'depth'.*line 2",
        ),
        ("def build(size):\n    pass\n", "gives no network: TypeError: .*missing 1 required"),
        ("x = 1 / 0\n", "cannot be imported: ZeroDivisionError: .*line 1"),
        ("def build(:\n", "cannot be imported: SyntaxError"),
    ],
)
def test_an_error_of_the_callers_code_is_told_with_its_line(tmp_path, monkeypatch, code, said):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{tmp_path.name}.py").write_text(code)
    with pytest.raises(ModelError, match=f"model: .*{said}"):
        load_model(f"{tmp_path.name}:build")


def test_of_a_checkpoint_it_is_said_what_to_save(files, tmp_path, network):
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, tmp_path / "last.ckpt")
    with pytest.raises(ModelError, match=r"got \['epoch', 'state_dict'\]; of a checkpoint save"):
        load_model("pcim_test_networks:Classifier", str(tmp_path / "last.ckpt"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_network_without_weights_goes_to_no_device_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{tmp_path.name}.py").write_text("from torch.nn import Flatten\n")
    with pytest.raises(ModelError, match="device: 'cuda' cannot be used"):
        load_model(f"{tmp_path.name}:Flatten", device="cuda")


@pytest.mark.parametrize("name", ["script.pt", "net.onnx", "pcim_test_networks:Classifier"])
def test_a_device_that_is_not_there_is_a_clear_error(files, monkeypatch, name):
    monkeypatch.chdir(files)
    with pytest.raises(ModelError, match="device: 'no such device' cannot be used"):
        load_model(name, device="no such device", trust=True)


@pytest.mark.parametrize(
    ("package", "model", "weights", "extra"),
    [
        ("onnxruntime", "net.onnx", None, "onnx"),
        ("safetensors", "pcim_test_networks:Classifier", "weights.safetensors", "safetensors"),
    ],
)
def test_a_package_that_is_missing_is_named(files, package, model, weights, extra):
    code = f"""
import sys
sys.modules[{package!r}] = sys.modules[{package + ".torch"!r}] = None
from captum_pcim.classifiers.files import load_model
try:
    load_model({model!r}, {weights!r})
except ImportError as error:
    print(error)
"""
    ended = fresh.run(code, files)
    assert f"pip install 'captum-pcim[{extra}]'" in ended.stdout, ended.stderr


def test_the_fingerprint_is_of_the_content(files, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes((files / "script.pt").read_bytes())
    assert fingerprint(str(copy)) == fingerprint(str(files / "script.pt"))
    assert fingerprint(str(copy)) != fingerprint(str(files / "export.pt2"))
    assert fingerprint("m:f", str(copy)) != fingerprint("m:f", str(files / "export.pt2"))


def test_of_several_outputs_of_an_onnx_file_it_is_said_which_is_taken(tmp_path):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    images = helper.make_tensor_value_info("images", kind, ["n", 2, 4, 4])
    outputs = [helper.make_tensor_value_info(name, kind, ["n", 32]) for name in ("rows", "flat")]
    nodes = [helper.make_node("Flatten", ["images"], [name]) for name in ("rows", "flat")]
    graph = helper.make_graph(nodes, "two", [images], outputs)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "two.onnx")
    with pytest.warns(PCIMWarning, match=r"outputs \['rows', 'flat'\], of which the first"):
        network = load_model(str(tmp_path / "two.onnx"))
    assert network.output == "rows"


@pytest.mark.parametrize("beside", ["net.onnx.data", "net.onnx_data"])
def test_the_fingerprint_of_an_onnx_file_covers_the_weights_beside_it(tmp_path, beside):
    (tmp_path / "net.onnx").write_bytes(b"graph")
    prints = set()
    for weights in (b"one", b"other"):
        (tmp_path / beside).write_bytes(weights)
        prints.add(fingerprint(str(tmp_path / "net.onnx")))
    assert len(prints) == 2
