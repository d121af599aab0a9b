"""Several processes of training on this machine, as torchrun starts them, for tests: gloo on the CPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CODE = """
import json, sys
from policy_world import Path, tiny_policy, tiny_train
from policies.config import Head, Precision
from policies.train import run
settings = json.loads(sys.argv[3])
settings["policy"] = tiny_policy(history=2, head=Head[settings.pop("head", "l1")])
print(json.dumps(run(tiny_train(Path(sys.argv[1]), Path(sys.argv[2]), device="cpu", precision=Precision.float32, **settings))))
"""


def train_together(data: Path, out: Path, *, processes: int = 2, **settings: Any) -> list[dict[str, Any]]:
    """The summaries of the processes that train, in the order of their ranks."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    said = os.environ | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    said |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(data), str(out), json.dumps(settings)],
            env=said | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        ended = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in ended]
