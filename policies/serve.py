"""Serves a checkpoint to a control loop in another process or on another machine: `python -m policies.serve CHECKPOINT`.

Prints one line of JSON with the port as soon as it answers, and progress on stderr. See docs/remote.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from hardware.api import Observation, Policy, RobotError
from hardware.child import token_from_parent
from hardware.opening import Certificate, read_token
from hardware.serve import PolicyServer, Serving
from hardware.wire import PROTOCOL
from policies.contract import Contract
from policies.errors import PolicyError
from policies.model_policy import load_policy


def warm(policy: Policy, contract: Contract) -> None:
    """Makes one prediction, so that the first real one is not the slow one; then forgets it."""
    height, width = contract.size
    images = {camera: np.full((height, width, 3), 127, np.uint8) for camera in contract.cameras}
    mask = np.zeros((height, width), bool)
    mask[height // 3 : -height // 3, width // 3 : -width // 3] = True
    policy.predict(Observation(images, dict.fromkeys(images, mask), np.zeros(len(contract.joints)), np.ones(contract.gripper), 0.0))
    policy.reset("")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m policies.serve", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint or run folder")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; another than this machine's needs --certificate and --key"
    )
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    token = parser.add_mutually_exclusive_group(required=True)
    token.add_argument("--token-file", type=Path, help="file with the token, readable by its owner alone")
    token.add_argument(
        "--token-stdin", action="store_true", help="read the token from stdin, and stop when stdin ends: for a parent process"
    )
    parser.add_argument("--certificate", type=Path, help="PEM file for TLS")
    parser.add_argument("--key", type=Path, help="PEM file for TLS")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a prediction")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser.parse_args(arguments)


def serve(options: argparse.Namespace) -> None:
    """Loads, warms up, serves until SIGTERM or SIGINT. Raises PolicyError, RobotError."""
    if bool(options.certificate) != bool(options.key):
        raise RobotError("TLS needs both --certificate and --key")
    token = token_from_parent() if options.token_stdin else read_token(options.token_file)
    certificate = Certificate(options.certificate, options.key) if options.certificate else None
    serving = Serving(token, options.host, options.port, certificate)  # what is wrong with it is said before anything is loaded
    if options.threads < 1 or not (options.device == "cpu" or (options.device.startswith("cuda") and torch.cuda.is_available())):
        raise RobotError(f"threads={options.threads} device={options.device}: give at least 1, and cpu (or cuda where there is a GPU)")
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    policy = load_policy(options.checkpoint, options.device)
    warm(policy, policy.contract)
    log = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    with PolicyServer(policy, serving, policy.contract.to_json(), policy.fingerprint, log) as server:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: server.stop())
        print(json.dumps({"port": server.port, "host": options.host, "protocol": PROTOCOL, "process": os.getpid()}), flush=True)
        server.run()


def main(arguments: list[str] | None = None) -> int:
    """Exit code 2 and one line where something is the user's to mend."""
    try:
        serve(parse(arguments))
    except (PolicyError, RobotError) as error:
        print(f"policies.serve: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while it loads
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
