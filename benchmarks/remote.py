"""What asking a policy in another process costs, beside the standard library's own way: `python -m benchmarks.remote`.

A policy that answers at once, in a child process on the loopback address: once behind `hardware.serve` (typed frames, deadlines,
heartbeats), once behind `multiprocessing.connection` over TCP (pickle, which runs whatever the other side sends, and waits for ever).
Both are asked from this process, in turn, with the same two pictures, masks and joints. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection, Listener

import numpy as np

from hardware.api import ActionChunk, Observation
from hardware.child import PolicyChild, token_from_parent
from hardware.serve import PolicyServer, Serving

CHUNK, JOINTS = 16, 7
KEY = b"of this benchmark alone"


class Instant:
    """Answers at once; what remains is the way there and back."""

    chunk = ActionChunk(np.zeros((CHUNK, JOINTS)), np.ones((CHUNK, 1)))

    def reset(self, instruction: str) -> None:
        """Nothing to forget."""

    def predict(self, observation: Observation) -> ActionChunk:
        """The same chunk each time."""
        return self.chunk


def serve_ours() -> None:
    """The child behind our protocol."""
    with PolicyServer(Instant(), Serving(token_from_parent()), {}, {}) as server:
        print(json.dumps({"port": server.port}), flush=True)
        server.run()


def serve_pickles(told: Connection) -> None:
    """The child behind multiprocessing.connection."""
    policy = Instant()
    with Listener(("127.0.0.1", 0), authkey=KEY) as listener:
        told.send(listener.address)
        with listener.accept() as client:
            while (observation := client.recv()) is not None:
                client.send(policy.predict(observation))


def observe(size: int) -> Observation:
    """Two pictures of `size` px with their masks, and seven joints."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (size, size, 3), np.uint8) for name in ("side", "wrist")}
    return Observation(images, {name: image[..., 0] > 200 for name, image in images.items()}, rng.normal(size=JOINTS), np.ones(1), 1.0)


def milliseconds(call: Callable[[], object], rounds: int) -> list[float]:
    """How long each of the calls takes [ms]."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def measure(size: int, rounds: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Times of both, (rounds,) each [ms], in blocks that take turns."""
    observation, context = observe(size), get_context("spawn")
    child = PolicyChild((sys.executable, "-m", "benchmarks.remote", "--serve"))
    told, tells = context.Pipe()
    peer = context.Process(target=serve_pickles, args=(tells,), daemon=True)
    peer.start()
    ours, theirs = [], []
    with child.start() as policy, Client(told.recv(), authkey=KEY) as pickles:

        def ask_pickles() -> ActionChunk:
            pickles.send(observation)
            return pickles.recv()

        for times, call in ((ours, lambda: policy.predict(observation)), (theirs, ask_pickles)):
            milliseconds(call, rounds // blocks)  # warm
            times.clear()
        for _ in range(blocks):
            ours += milliseconds(lambda: policy.predict(observation), rounds // blocks)
            theirs += milliseconds(ask_pickles, rounds // blocks)
        pickles.send(None)
    peer.join(5.0)
    return np.array(ours), np.array(theirs)


def main() -> None:
    """Prints the figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="of the two pictures [px]")
    parser.add_argument("--rounds", type=int, default=4000, help="questions to each")
    parser.add_argument("--blocks", type=int, default=20, help="in which they take turns")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_ours()
        return
    ours, theirs = measure(arguments.size, arguments.rounds, arguments.blocks)
    figures = {}
    for name, times in (("", ours), ("pickle_", theirs)):
        figures |= {f"{name}p50_ms": round(float(np.percentile(times, 50)), 3), f"{name}p99_ms": round(float(np.percentile(times, 99)), 3)}
    print(f"2 pictures of {arguments.size} px there, {CHUNK} actions back, {len(ours)} times: milliseconds of the round trip")
    print(f"ours   p50 {figures['p50_ms']:.3f}  p99 {figures['p99_ms']:.3f}")
    print(f"pickle p50 {figures['pickle_p50_ms']:.3f}  p99 {figures['pickle_p99_ms']:.3f}")
    print(json.dumps(figures | {"ratio_p50": round(figures["p50_ms"] / figures["pickle_p50_ms"], 2), "size": arguments.size}))


if __name__ == "__main__":
    main()
