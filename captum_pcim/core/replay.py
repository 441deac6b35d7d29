"""Steps that a GPU replays: captured once for each reference as a CUDA graph, then launched as one.

A step is some hundred small kernels beside those of the network. On few or small images the host
takes longer to launch them than the GPU to run them, and a graph launches all of them at once.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import torch

from captum_pcim._errors import describe
from captum_pcim.core.moments import Moment
from captum_pcim.core.warn import warn


class Copyable(Protocol):
    """Tensors that can be copied out of the memory of a graph."""

    def clone(self: "Result") -> "Result":
        """Return a copy."""
        ...


Result = TypeVar("Result", bound=Copyable)


class Replay(Generic[Result]):
    """Does work on tensors that stay where they are, as a graph from the second time on.

    The first time, which settles what the libraries choose and keep, is as without graphs. A graph
    repeats what the device did, not what the host did: its kernels read and write the same memory,
    and only the numbers of the step are copied in before. Where the work asks the device for
    something and waits, or works on the host in between, it has no graph, and goes on without.

    Args:
        like (Moment): One of the moments.
    """

    def __init__(self, like: Moment) -> None:
        self.moment = Moment.of(like.row.clone())
        self.refused = False
        self.forget()

    def forget(self) -> None:
        """Begin anew, with other tensors."""
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, Result]] = {}
        self.seen: set[int] = set()

    def __call__(self, work: Callable[[Moment], Result], reference: int, moment: Moment) -> Result:
        """Do the work once, the same for each reference every time; return what is new."""
        is_new = reference not in self.seen
        self.seen.add(reference)
        if not is_new and reference not in self.graphs and not self.refused:
            self._capture(work, reference)
        if reference not in self.graphs:
            return work(moment)
        self.moment.row.copy_(moment.row)
        graph, result = self.graphs[reference]
        graph.replay()
        return result.clone()  # the next replay writes over it

    def _capture(self, work: Callable[[Moment], Result], reference: int) -> None:
        """Record the work without doing it."""
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        random_state = generator.clone_state()
        try:
            with torch.cuda.graph(graph, pool=self.pool):
                result = work(self.moment)
        except RuntimeError as error:
            self.refused = True
            # The one that was being captured would refuse every later draw.
            generator.graphsafe_set_state(random_state)
            warn(f"gradients: a step has no CUDA graph and goes on without: {describe(error)}")
        else:
            self.graphs[reference] = graph, result
