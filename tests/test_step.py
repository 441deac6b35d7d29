"""A step asks little of the host: few operators, and the same ones every time."""

import pytest
import torch
from networks import images, small_cnn
from test_no_waiting import META, N_IMAGES, _on_meta
from torch.utils._python_dispatch import TorchDispatchMode

from captum_pcim import PCIM
from captum_pcim.core import solver
from captum_pcim.core.objective import default_objective
from captum_pcim.core.problem import Settings

BESIDE_THE_NETWORK = 85  # operators with the defaults, while weights must hold the class
FREE = {  # another view of the same memory
    "_unsafe_view", "detach", "expand", "permute", "select", "slice", "split",
    "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze", "view",
}  # fmt: skip


class Operators(TorchDispatchMode):
    """Counts the operators that read or write tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.overloadpacket.__name__ not in FREE
        return function(*args, **(kwargs or {}))


def _of_the_solver(n_steps: int) -> int:
    problem, chunk = _on_meta([0, 1, 2], terms=default_objective())
    with Operators() as operators:
        solver.solve(problem, chunk, Settings(n_steps, 0.5, tolerance=0.0), lambda: None)
    return operators.count


def _of_the_network() -> int:
    network = small_cnn().to(META).requires_grad_(False)
    rows = images(2 * N_IMAGES).to(META).requires_grad_()
    with Operators() as operators:
        scores = network(rows)
        torch.autograd.grad(scores, rows, scores.detach())
    return operators.count


def test_a_step_makes_so_many_operators_beside_the_network():
    # The steps before weights must hold the class are as many in both.
    assert _of_the_solver(12) - _of_the_solver(11) - _of_the_network() == BESIDE_THE_NETWORK


def test_a_step_compiles_once_and_whole_for_all_steps_and_references(monkeypatch):
    """The network's passes and both gradients are one graph, and the map stays the same."""
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        pytest.skip("needs a newer torch")
    inputs, target, improve = images(), [0, 1, 2], solver._Run.improve
    eager = PCIM(small_cnn()).attribute(inputs, target=target, n_steps=8)
    graphs = []

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(improve, backend=keep, fullgraph=True)

    def after_the_first(run, chunk, moment):
        return (compiled if moment.progress > 0 else improve)(run, chunk, moment)

    monkeypatch.setattr(torch._dynamo.config, "trace_autograd_ops", True)
    monkeypatch.setattr(solver._Run, "improve", after_the_first)
    maps = PCIM(small_cnn()).attribute(inputs, target=target, n_steps=8)
    torch._dynamo.reset()
    assert len(graphs) == 1
    assert torch.equal(maps, eager)
