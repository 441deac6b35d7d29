"""Explain a classifier that runs as a service: nothing of it but its scores is needed.

    python tutorials/http_scoring.py

One process scores images over HTTP, on this machine; here it is a small network, but it could be
anything. The other sends masked images and trains the blending weights from the scores alone.
"""

from __future__ import annotations

import io
import multiprocessing
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_pcim import PCIM, ForwardOnly
from captum_pcim.classifiers.adapters import NumpyForward
from captum_pcim.synthetic import PlantedNetwork


class Scoring(BaseHTTPRequestHandler):
    """Takes images as a .npy file, answers with scores as a .npy file."""

    network = PlantedNetwork()

    def do_POST(self) -> None:
        images = np.load(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))))
        with torch.no_grad():
            scores = self.network(torch.from_numpy(images)).numpy()
        self.send_response(200)
        self.end_headers()
        np.save(self.wfile, scores)

    def log_message(self, *args: object) -> None:
        """Keep the output to what the example prints."""


def serve(port_to: Connection) -> None:
    """Score images until the process is ended; tell the port that the system chose."""
    torch.set_num_threads(1)
    server = HTTPServer(("127.0.0.1", 0), Scoring)
    port_to.send(server.server_port)
    server.serve_forever()


def score_over_http(port: int, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Send images to the service and return its scores."""
    body = io.BytesIO()
    np.save(body, images)
    request = urllib.request.Request(f"http://127.0.0.1:{port}", data=body.getvalue())
    with urllib.request.urlopen(request, timeout=30) as answer:
        scores: NDArray[np.float32] = np.load(io.BytesIO(answer.read()))
    return scores


def explain_service(n_forwards: int = 1000) -> tuple[Tensor, Tensor]:
    """Start the service, explain two images, end it; return the maps and where the evidence is."""
    inputs, targets, masks = PlantedNetwork().sample(3)
    inputs, targets, masks = inputs[1:], targets[1:], masks[1:]  # image 0 shows no pattern
    processes = multiprocessing.get_context("spawn")
    port_from, port_to = processes.Pipe(duplex=False)
    service = processes.Process(target=serve, args=(port_to,), daemon=True)
    service.start()
    try:
        port = port_from.recv()
        forward = NumpyForward(lambda images: score_over_http(port, images))
        # A service may go away: on_error="return" then keeps what was learned so far.
        source = ForwardOnly(n_forwards=n_forwards, on_error="return")
        method = PCIM(forward, gradients=source)
        maps = method.attribute(inputs, target=targets, perturbations_per_eval=16)
    finally:
        service.terminate()
        service.join()
    return maps, masks


if __name__ == "__main__":
    attributions, evidence = explain_service()
    inside = (attributions[:, :1] * evidence).sum() / attributions[:, :1].sum()
    print(f"{inside:.0%} of the relevance lies on {evidence.float().mean():.1%} of the pixels")
