"""A connected arm behind its limits: `with session(driver) as arm:`. It comes to rest with the block, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hardware.api import Action, RobotError
from hardware.arm import ArmState, Driver, Link
from hardware.clock import Clock, MonotonicClock
from hardware.limits import Limits
from hardware.reason import Reason, Stop
from hardware.safety import SafetyFilter
from hardware.servo import NoRecorder, Recorder, Servo

REST = 3.0
"""Longest that braking may take before the arm is stopped by its own means [s]."""


@dataclass(frozen=True)
class Session:
    """An arm that may be moved."""

    limits: Limits
    link: Link
    servo: Servo
    clock: Clock

    def state(self) -> ArmState:
        """The newest measurement. Raises RobotError."""
        return self.servo.state()

    def offer(self, action: Action, observed: float) -> Action:
        """The next action, in answer to a picture taken at `observed` [s]; returns the setpoint sent last. Does nothing after a stop."""
        self.servo.safety.offer(action, observed=observed, now=self.clock.now())
        return self.servo.safety.setpoint

    def beat(self) -> None:
        """Says that the control loop lives; `offer` and `hold` say so too."""
        self.servo.safety.beat(self.clock.now())

    def hold(self) -> None:
        """Comes to rest and waits for the next action: a pause, no stop."""
        self.servo.safety.hold(self.clock.now())

    def stop(self, reason: Reason = Reason.OPERATOR, detail: str = "asked to") -> None:
        """Brakes and holds until `clear`. Idempotent, from any state and thread; the first reason is kept."""
        self.servo.safety.trip(reason, detail, self.clock.now())

    @property
    def stopped(self) -> Stop | None:
        """Why it was stopped, None while it was not."""
        return self.servo.safety.stopped

    def rest(self, timeout: float = REST) -> bool:
        """Waits until the arm's setpoint rests."""
        return self.servo.rest(timeout)

    def clear(self) -> None:
        """A person has looked and lets it go on. Raises RobotError where it cannot."""
        self.servo.clear()


@contextlib.contextmanager
def session(
    driver: Driver,
    *,
    limits: Limits | None = None,
    speed: float = 0.1,
    clock: Clock | None = None,
    recorder: Recorder | None = None,
    folder: Path | None = None,
) -> Iterator[Session]:
    """Connects, holds the arm where it is, and gives it up at rest.

    Args:
        driver: of the arm.
        limits: what it is held to; those of its model at `speed` by default.
        speed: share of the data sheet's speeds, where no limits are given.
        clock: of the loop and the servo.
        recorder: is told of every servo period.
        folder: where locks and stop sockets lie; the user's runtime folder by default.

    Raises:
        RobotError: another session has this arm, it cannot be reached, or it must not move from where it stands.
    """
    clock = clock or MonotonicClock()
    limits = limits or Limits(driver.arm, speed=speed)
    with _claimed(driver, folder) as claim:
        link = driver.connect()
        servo = Servo(link, SafetyFilter(limits, 1 / driver.servo_hz), clock, recorder or NoRecorder())
        arm = Session(limits, link, servo, clock)
        try:
            servo.start()
            claim.listen(arm)
            yield arm
        except BaseException as error:
            arm.stop(*_reason(error))
            raise
        finally:
            try:
                arm.hold()
                servo.rest(REST)
            finally:
                servo.close()
                link.close()


def _reason(error: BaseException) -> tuple[Reason, str]:
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return Reason.OPERATOR, "Ctrl-C, or the program was asked to end"
    return Reason.CRASH, f"{type(error).__name__}: {error}"


def runtime_folder() -> Path:
    """Where locks and stop sockets lie: the user's own, for no one else."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
    folder = base / f"cezanne-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RobotError(f"{folder} is open to others; remove it, or set XDG_RUNTIME_DIR to a folder of your own")
    return folder


def stop_all(folder: Path | None = None, timeout: float = 2.0) -> dict[str, str]:
    """Stops every session of this user, from another process: what each answered, by its name; "silent" where one did not."""
    folder = folder or runtime_folder()
    answers = {}
    for address in sorted(folder.glob("*.sock")):
        name = address.stem
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            try:
                client.connect(str(address))
                client.sendall(b"stop\n")
                answers[name] = client.recv(64).decode("ascii", "replace").strip()
            except OSError:
                answers[name] = "silent"
    return answers


@dataclass
class _Claim:
    """The right to one arm: a locked file, and a socket that takes stops."""

    path: Path
    listener: socket.socket | None = None

    def listen(self, arm: Session) -> None:
        """Takes stops from other processes, in a thread of its own: a loop that hangs does not keep them out."""
        address = self.path.with_suffix(".sock")
        address.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(address))
        self.listener.listen(4)
        threading.Thread(target=self._serve, args=(self.listener, arm), name="stops", daemon=True).start()

    def _serve(self, listener: socket.socket, arm: Session) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(1.0)
                if client.recv(16).strip() == b"stop":
                    arm.stop(Reason.OPERATOR, "stopped from another process")
                    client.sendall(b"at rest\n" if arm.rest(1.5) else b"braking\n")

    def close(self) -> None:
        """Gives the socket back."""
        if self.listener is not None:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.path.with_suffix(".sock").unlink(missing_ok=True)


@contextlib.contextmanager
def _claimed(driver: Driver, folder: Path | None) -> Iterator[_Claim]:
    address = str(getattr(driver, "address", driver.arm.name))
    name = f"{driver.arm.name}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    path = (folder or runtime_folder()) / f"{name}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(16).strip() or "another process"
            raise RobotError(f"{driver.arm.name} at {address} is in use by process {holder}; end it, or `cezanne stop`") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        claim = _Claim(path)
        try:
            yield claim
        finally:
            claim.close()
