"""A connected arm behind its limits: `with session(driver) as arm:`. It comes to rest with the block, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
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
from hardware.servo import REST, NoRecorder, Recorder, Servo

GONE = "its process is gone"
"""Answer of `stop_all` for a session whose program was killed: nothing is sent to its arm any more."""


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
        return self.setpoint

    @property
    def setpoint(self) -> Action:
        """What was sent last."""
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
    safety = SafetyFilter(limits, 1 / driver.servo_hz)
    with (
        _signals(),
        _claimed(driver, folder) as claim,
        contextlib.closing(driver.connect()) as link,
        contextlib.closing(Servo(link, safety, clock, recorder or NoRecorder())) as servo,
    ):
        arm = Session(limits, link, servo, clock)
        try:
            servo.start()
            claim.listen(arm)
            yield arm
        except BaseException as error:
            arm.stop(*reason_of(error))
            raise
        finally:
            arm.hold()
            servo.rest(REST)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A program that is asked to end, a terminal that is closed, an ssh that is cut: as Ctrl-C, where nobody has said otherwise."""
    taken = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                taken[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, before in taken.items():
            signal.signal(number, before)


def reason_of(error: BaseException) -> tuple[Reason, str]:
    """Why an arm is stopped by an error that ends what it does: reason and detail."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return Reason.OPERATOR, "Ctrl-C, or the program was asked to end"
    return Reason.CRASH, f"{type(error).__name__}: {error}"


def runtime_folder() -> Path:
    """Where locks and stop sockets lie: the user's own, for no one else."""
    places = (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.getuid()}", "/tmp")  # the same for shells that do not name it
    base = next((Path(place) for place in places if place and os.access(place, os.W_OK)), Path("/tmp"))
    folder = base / f"cezanne-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RobotError(f"{folder} is open to others; remove it, or set XDG_RUNTIME_DIR to a folder of your own")
    return folder


def stop_all(folder: Path | None = None, timeout: float = 2.0) -> dict[str, str]:
    """Stops every session of this user, from another process: what each answered, by its name.

    "silent" where one did not; `GONE` where its process was killed before, which is said once.
    """
    folder = folder or runtime_folder()
    answers = {}
    with contextlib.ExitStack() as stack:
        asked: dict[str, socket.socket] = {}
        for address in sorted(folder.glob("*.sock")):  # all are asked before any is waited for
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.settimeout(timeout)
            try:
                client.connect(str(address))
                client.sendall(b"stop\n")
                asked[address.stem] = client
            except ConnectionRefusedError:
                address.unlink(missing_ok=True)
                answers[address.stem] = GONE
            except OSError:
                answers[address.stem] = "silent"
        for name, client in asked.items():
            try:
                answers[name] = client.recv(64).decode("ascii", "replace").strip() or "silent"
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
                    rested = arm.rest(1.5)
                    if not rested:
                        arm.servo.halt()
                    client.sendall(b"at rest\n" if rested else b"stopped by its own means\n")

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
    address = os.path.realpath(address) if os.path.exists(address) else address  # a serial port has several names
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
