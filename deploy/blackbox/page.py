"""A black box as one picture for people: what was asked, sent and measured, what the cameras saw, and when it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from deploy.errors import DeployError
from episodes.picture import draw_mask, enlarge
from hardware.blackbox import BLOCKED, FRAME, RESTING, UNMEASURED
from hardware.blackbox_file import Tape

_ASKED, _SENT, _MEASURED, _STOP, _INK = "#e08214", "#2166ac", "#1a1a1a", "#c51b1b", "#333333"
_LANES = (("stopped", 0, _STOP), ("forbidden", BLOCKED, _ASKED), ("unmeasured", UNMEASURED, "#7b3294"), ("resting", RESTING, "#b8b8b8"))
_WHOLE, _CLOSE = 6, 3
"""Pictures side by side: over the whole time, and over the last moments."""


def draw_page(tape: Tape, file: Path, *, close: float = 3.0) -> Path:
    """Draws the whole time on the left and the last `close` seconds on the right. Raises DeployError where it cannot be written."""
    zero = tape.stop.time if tape.stop else _end(tape)
    n, views = len(tape.plan.joints), len(tape.plan.cameras)
    heights = [*[1.5] * views, *[0.62] * n, 0.62, 0.9, 0.7, 0.9]
    figure = Figure(figsize=(16, 1.3 + 1.15 * sum(heights)), layout="constrained", facecolor="white")
    grid = figure.subplots(len(heights), 2, gridspec_kw={"height_ratios": heights, "width_ratios": [1.5, 1]}, sharex="col", squeeze=False)
    figure.suptitle(_title(tape), x=0.012, ha="left", fontsize=12, color=_STOP if tape.stop else _INK)
    figure.supxlabel(_said(tape, zero), x=0.012, ha="left", fontsize=8, color=_INK)
    begin, last = _begin(tape) - zero, max(_end(tape) - zero, 0.0)
    spans = ((begin, last), (max(begin, -close), min(last, close / 2)))
    for side, (low, high) in enumerate(spans):
        axes = grid[:, side]
        axes[0].set_xlim(low, high + 1e-6 + 0.01 * (high - low))
        axes[0].set_title(("all that was kept", f"the last {close:g} s, whole pictures")[side], fontsize=9, loc="left", color=_INK, pad=9)
        for k, camera in enumerate(tape.plan.cameras):
            _pictures(axes[k], tape, camera, zero, (low, high), whole=side == 1)
        for k, joint in enumerate(tape.plan.joints):
            _lines(axes[views + k], tape, ("asked", "sent", "qpos"), k, zero, (low, high))
            axes[views + k].set_ylabel(f"{joint}\n[rad]" if side == 0 else "", fontsize=7)
        _lines(axes[views + n], tape, ("asked_gripper", "sent_gripper", "gripper"), 0, zero, (low, high))
        _efforts(axes[views + n + 1], tape, zero, (low, high))
        _lanes(axes[views + n + 2], tape, zero)
        _ages(axes[views + n + 3], tape, zero)
        axes[-1].set_xlabel("s from the stop" if tape.stop else "s from the end", fontsize=8)
        for axis in axes:
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
            if tape.stop:
                axis.axvline(0, color=_STOP, linewidth=1)
    grid[views + n, 0].set_ylabel("gripper\n0 to 1", fontsize=7)
    grid[views + n + 1, 0].set_ylabel("effort\n[N m]", fontsize=7)
    grid[views + n + 3, 0].set_ylabel("age [ms]", fontsize=7)
    if n:
        grid[views, 0].legend(loc="upper left", fontsize=7, ncols=3, frameon=False)
        _headroom(grid[views, 0], 0.0)
    return _save(figure, file)


def draw_replay(
    file: Path, joints: Sequence[str], numbers: np.ndarray, away: np.ndarray, worst: tuple[np.ndarray, np.ndarray], tolerance: float
) -> Path:
    """How far a replay was from the recording.

    Args:
        file: to write.
        joints: their names.
        numbers: of the calls, (C,).
        away: greatest difference of each call and joint, (C, n) [rad].
        worst: recorded and replayed joint targets of the call that differs most, (T, n) each [rad].
        tolerance: what counts as different [rad].
    """
    figure = Figure(figsize=(13, 5), layout="constrained", facecolor="white")
    over, chunk = figure.subplots(1, 2)
    at = int(np.nan_to_num(away.max(axis=1), nan=np.inf).argmax())
    for k, joint in enumerate(joints):
        colour = f"C{k % 10}"
        over.plot(numbers, np.maximum(away[:, k], 1e-17), ".-", color=colour, linewidth=1, label=joint)
        chunk.plot(worst[0][:, k], color=colour, linewidth=2.5, alpha=0.4)
        chunk.plot(worst[1][:, k], color=colour, linewidth=1)
    over.axhline(tolerance, color=_STOP, linewidth=1)
    over.set(
        yscale="log", xlabel="call of the policy", ylabel="greatest difference [rad]", title="replay against recording; red: tolerance"
    )
    over.legend(fontsize=7, ncols=2)
    chunk.set(
        xlabel="action of the chunk", ylabel="joint targets [rad]", title=f"call {numbers[at]:.0f}, which differs most: recorded broad"
    )
    return _save(figure, file)


def _title(tape: Tape) -> str:
    first = f"STOP  {tape.stop.reason}: {tape.stop.detail}" if tape.stop else "the run ended by itself"
    said = [f"{key} {value}" for key, value in tape.context.items() if isinstance(value, str | int | float)]
    instruction = list(tape.trials.values())[-1] if tape.trials else ""
    lines = [first[:150], "   ".join([f"“{instruction}”" if instruction else "", *said]).strip()[:170]]
    return "\n".join([*lines, *([f"not recorded: {tape.fault}"[:150]] if tape.fault else [])])


def _said(tape: Tape, zero: float) -> str:
    """The last notes, newest first."""
    return "\n".join(f"{time - zero:+8.2f} s  {text[:160]}" for time, text in tape.notes[:-6:-1])


def _begin(tape: Tape) -> float:
    times = _times(tape)
    return float(times.min()) if len(times) else 0.0


def _end(tape: Tape) -> float:
    times = _times(tape)
    return float(times.max()) if len(times) else 0.0


def _times(tape: Tape) -> np.ndarray:
    times = np.concatenate([tape.servo("time")[:, 0], tape.call("asked"), tape.arrays["frames"][:, FRAME.index("now")]])
    return times[np.isfinite(times)]


def _pictures(axis: Axes, tape: Tape, camera: str, zero: float, span: tuple[float, float], *, whole: bool) -> None:
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_ylabel("" if whole else camera, fontsize=8)
    times = tape.call("asked")[tape.pictured.start :] if whole else tape.arrays["thumb_times"]
    times = np.asarray(times) - zero
    inside = np.flatnonzero((times >= span[0]) & (times <= span[1]))
    if not len(inside):
        axis.text(0.5, 0.5, "no picture", transform=axis.transAxes, ha="center", va="center", fontsize=8, color="#888888")
        return
    most = _CLOSE if whole else _WHOLE
    width = (span[1] - span[0]) / most
    for cell in range(most):  # the newest of each cell, so that they lie along the time line
        here = inside[(times[inside] - span[0]) // max(width, 1e-9) == cell]
        if not len(here):
            continue
        k = int(here[-1])
        if whole:
            seen = tape.observation(tape.pictured.start + k)
            picture = draw_mask(enlarge(seen.images[camera], 192), seen.masks[camera])
        else:
            picture = enlarge(np.array(tape.arrays[f"thumbs/{camera}"][k]), 192)
        middle = span[0] + (cell + 0.5) * width
        box = AnnotationBbox(OffsetImage(picture, zoom=0.5), (middle, 0.53), frameon=False, pad=0, box_alignment=(0.5, 0.5))
        axis.add_artist(box)
        axis.plot([middle, times[k]], [0.08, 0], color="#999999", linewidth=0.6)
        axis.plot([times[k]], [0], marker="^", color="#555555", markersize=4, clip_on=False)


def _lines(axis: Axes, tape: Tape, columns: tuple[str, str, str], k: int, zero: float, span: tuple[float, float]) -> None:
    times = tape.servo("time")[:, 0] - zero
    inside = (times >= span[0]) & (times <= span[1])
    styles = (("asked", _ASKED, 1.4, "-"), ("sent", _SENT, 1.4, "-"), ("measured", _MEASURED, 0.9, "--"))
    for column, (label, colour, width, style) in zip(columns, styles, strict=True):
        values = tape.servo(column)
        if k < values.shape[1]:
            axis.plot(times[inside], values[inside, k], style, color=colour, linewidth=width, label=label)
    low, high = axis.get_ylim()
    if high - low < 0.02:  # noise of an arm at rest is not worth the whole height
        axis.set_ylim((low + high) / 2 - 0.01, (low + high) / 2 + 0.01)


def _efforts(axis: Axes, tape: Tape, zero: float, span: tuple[float, float]) -> None:
    times = tape.servo("time")[:, 0] - zero
    inside = (times >= span[0]) & (times <= span[1])
    for k, joint in enumerate(tape.plan.joints):
        axis.plot(times[inside], tape.servo("effort")[inside, k], color=f"C{k % 10}", linewidth=0.9, label=joint)
    axis.legend(loc="upper left", fontsize=6, ncols=4, frameon=False)
    _headroom(axis, 1.0)


def _headroom(axis: Axes, least: float) -> None:
    """Room for the legend above what is drawn, of which at least this much is shown."""
    low, high = axis.get_ylim()
    high = max(high, low + least)
    axis.set_ylim(low, high + 0.4 * (high - low))


def _lanes(axis: Axes, tape: Tape, zero: float) -> None:
    times, flags = tape.servo("time")[:, 0] - zero, tape.servo("flags")[:, 0].astype(int)
    stopped = tape.servo("reason")[:, 0] > 0
    period = 1 / tape.plan.servo_hz
    for lane, (_, bit, colour) in enumerate(_LANES):
        on = (flags & bit) > 0 if bit else stopped
        edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
        bars = [(float(times[a]), float(times[b - 1] - times[a] + period)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        axis.broken_barh(bars, (lane - 0.4, 0.8), facecolors=colour)
    axis.set_yticks(range(len(_LANES)), [name for name, _, _ in _LANES])
    axis.set_ylim(len(_LANES) - 0.5, -0.5)


def _ages(axis: Axes, tape: Tape, zero: float) -> None:
    asked, observed, answered = (tape.call(name) for name in ("asked", "observed", "answered"))
    axis.plot(answered - zero, (answered - observed) * 1e3, "o", color=_SENT, markersize=2.5, label="picture to answer")
    axis.plot(answered - zero, (answered - asked) * 1e3, "o", color=_ASKED, markersize=2.5, label="question to answer")
    lost = np.isnan(answered)
    axis.plot(asked[lost] - zero, np.zeros(int(lost.sum())), "x", color=_STOP, markersize=5, label="no answer")
    frames: Mapping[str, np.ndarray] = {name: tape.arrays["frames"][:, k] for k, name in enumerate(FRAME)}
    for k, camera in enumerate(tape.plan.cameras):
        of = frames["camera"] == k
        if of.any():
            axis.plot(
                frames["now"][of] - zero,
                (frames["now"] - frames["time"])[of] * 1e3,
                linewidth=0.7,
                color=f"C{k + 4}",
                label=f"frame of {camera}",
            )
    axis.set_ylim(bottom=0)
    _headroom(axis, 1.0)
    axis.legend(loc="upper left", fontsize=6, ncols=3, frameon=False)


def _save(figure: Figure, file: Path) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=100)
    except OSError as error:
        raise DeployError(f"cannot write {file}: {error.strerror or error}") from error
    return file
