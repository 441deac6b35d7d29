"""Classifiers from elsewhere: ONNX Runtime, scikit-learn, a service in another process."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.testing import assert_close

from captum_pcim import PCIM, ForwardOnly
from captum_pcim.classifiers.adapters import NumpyForward, OnnxForward
from captum_pcim.metrics import average_precision
from captum_pcim.synthetic import load_cnn, synthetic_fluorescence

SOURCE = ForwardOnly(n_forwards=200)


def _save(path, batch="n", channels_last=False, dtype=TensorProto.FLOAT):
    """Write a model whose scores are the mean brightness of each of 3 stains."""
    shape = [batch, 8, 10, 3] if channels_last else [batch, 3, 8, 10]
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2] if channels_last else [2, 3])
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["fractions"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["fractions", "axes"], ["scores"], keepdims=0),
        ],
        "means",
        [helper.make_tensor_value_info("images", dtype, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [axes],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.fixture
def pictures():
    return torch.rand(5, 3, 8, 10)


def test_a_cnn_exported_to_onnx_gets_the_map_of_the_same_cnn_as_an_opaque_function(tmp_path):
    network, inputs = load_cnn("fluorescence"), synthetic_fluorescence(3, size=64).inputs[1:]
    any_batch = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        network, (inputs,), dynamo=True, dynamic_shapes=any_batch, verbose=False
    )
    program.save(tmp_path / "cnn.onnx")
    opaque = torch.no_grad()(lambda x: network(x))
    maps = [
        PCIM(forward, gradients=SOURCE, seed=5).attribute(inputs, target=1)
        for forward in (OnnxForward(tmp_path / "cnn.onnx"), opaque)
    ]
    assert maps[0].std() > 0.05
    assert_close(*maps, rtol=0, atol=1e-3)


@pytest.mark.parametrize("batch", ["n", 1, 2, 8])
def test_batches_of_any_size_run_through_dynamic_and_fixed_batch_axes(tmp_path, pictures, batch):
    forward = OnnxForward(_save(tmp_path / "means.onnx", batch))
    assert_close(forward(pictures), pictures.mean((2, 3)))


def test_images_are_laid_out_as_the_file_takes_them(tmp_path, pictures):
    forward = OnnxForward(_save(tmp_path / "means.onnx", channels_last=True), channels_last=True)
    assert_close(forward(pictures), pictures.mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integers_reach_files_that_take_them(tmp_path, pictures, dtype):
    declared = TensorProto.UINT8 if dtype == torch.uint8 else TensorProto.UINT16
    counts = (200 * pictures).to(dtype)
    forward = OnnxForward(_save(tmp_path / "means.onnx", dtype=declared))
    assert_close(forward(counts), counts.float().mean((2, 3)))


def test_fractions_are_cast_between_precisions(tmp_path, pictures):
    forward = OnnxForward(_save(tmp_path / "means.onnx"))
    assert_close(forward(pictures.double()), pictures.mean((2, 3)))
    half = pictures.bfloat16()  # of which NumPy has no arrays
    assert_close(forward(half), half.float().mean((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda f, x: f((255 * x).to(torch.uint8)),
            TypeError,
            "takes float32, got uint8",
        ),
        (
            lambda f, x: f(x[..., :9]),
            ValueError,
            r"takes shape .*, got \(5, 3, 8, 9\)",
        ),
        (lambda f, x: f(x.movedim(1, -1)), ValueError, r"got \(5, 8, 10, 3\)"),
        (lambda f, x: f(x[0]), ValueError, r"got \(3, 8, 10\)"),
        (lambda f, x: f(x, x), ValueError, r"takes 1 inputs \['images'\], got 2"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, pictures, call, error, message):
    with pytest.raises(error, match=message):
        call(OnnxForward(_save(tmp_path / "means.onnx")), pictures)


def test_the_other_layout_is_suggested_where_it_fits(tmp_path, pictures):
    forward = OnnxForward(_save(tmp_path / "means.onnx", channels_last=True))
    with pytest.raises(ValueError, match=r"the other layout fits.*channels_last=True"):
        forward(pictures)


def test_files_and_outputs_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path: no such file: .*none\.onnx"):
        OnnxForward(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match=r"output: expected one of \['scores'\]"):
        OnnxForward(_save(tmp_path / "means.onnx"), output="logits")


def test_a_numpy_function_gets_arrays_in_the_dtype_of_the_inputs():
    counts = torch.randint(0, 60000, (4, 2, 8, 8)).to(torch.uint16)

    def means(array):
        assert isinstance(array, np.ndarray) and array.dtype == np.uint16
        return array.mean((2, 3))

    assert_close(NumpyForward(means)(counts), counts.double().mean((2, 3)))


def _orientations(pictures: np.ndarray) -> np.ndarray:
    """Histograms of gradient orientations in 8 x 8 cells, and mean brightness, HOG-like."""
    down, right = np.gradient(pictures, axis=(2, 3))
    strength, angle = np.hypot(down, right), np.arctan2(down, right) % np.pi
    channels = [strength * (np.floor(angle / np.pi * 4) == k) for k in range(4)] + [pictures]
    cells = np.stack(channels, 2)
    n, stains, kinds, height, width = cells.shape
    blocks = cells.reshape(n, stains, kinds, height // 8, 8, width // 8, 8).mean((4, 6))
    return np.concatenate([blocks.max((3, 4)), blocks.std((3, 4))], 1).reshape(n, -1)


def test_a_random_forest_on_hog_like_features_is_explained_better_than_chance():
    """Average precision at least 1.5 times chance, the share of pixels that are evidence."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    training = synthetic_fluorescence(160, size=64, seed=0, phenotype="granules")
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(_orientations), forest)
    pipeline.fit(training.inputs.numpy(), training.labels > 0)

    tested = synthetic_fluorescence(24, size=64, seed=1, phenotype="granules")
    called = pipeline.predict(tested.inputs.numpy())
    shown = tested[torch.from_numpy(called) & (tested.labels > 0)][:4]
    forward = NumpyForward(pipeline.predict_proba)
    method = PCIM(forward, score="probabilities", gradients=ForwardOnly(400))
    maps = method.attribute(shown.inputs, target=1, perturbations_per_eval=32)
    precision = average_precision(maps[:, :1], shown.masks).mean()
    assert precision > 1.5 * shown.masks.float().mean()


def test_the_tutorial_explains_a_service_in_another_process(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tutorials")
    from http_scoring import explain_service

    maps, masks = explain_service(n_forwards=200)
    assert average_precision(maps[:, :1], masks).mean() > 3 * masks.float().mean()
