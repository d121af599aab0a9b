"""The command line: a table of verbs, each a Hydra configuration and a function that runs it.

`cezanne VERB [WORD ...] key=value ... --flag` composes `conf/VERB.yaml` onto the verb's dataclass, calls `run(cfg)` and prints the summary
that it returns as the last line of stdout, as JSON. Words fill the keys that the verb names, in order; `--some-flag` is
`some_flag=true`. Exit code 0: done; 1: failed; 2: asked for something that cannot be; 130: stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from conf import UsageError, nearest

ROOMS = ("assets", "augment", "cezanne", "conf", "deploy", "episodes", "eval", "hardware", "policies", "sim")
"""Exceptions defined in these top-level modules are the user's to mend."""


@dataclass(frozen=True)
class Verb:
    """One row of the command line."""

    name: str
    config: str
    """`module:Dataclass`, imported when the verb is used."""
    run: str
    """`module:function` of one argument, the config; returns the summary. A summary with `ok` False fails the command."""
    summary: str
    example: str
    positional: tuple[str, ...] = ()
    """Keys that bare words fill, in order: `cezanne compare NEW OLD`."""


VERBS = (
    Verb(
        "doctor",
        "sim.doctor:DoctorConfig",
        "sim.doctor:run",
        "says what works on this machine and what to do about the rest",
        "cezanne doctor --json",
    ),
    Verb(
        "toys",
        "sim.catalogue:ToysConfig",
        "sim.catalogue:run",
        "samples random toys and exports them",
        "cezanne toys toys=250 seed=0 out=data/toys",
    ),
    Verb(
        "objects",
        "sim.shelf.config:ObjectsConfig",
        "sim.shelf.run:run",
        "lists, fetches, adds and checks sets of real objects",
        "cezanne objects add my_meshes",
        ("action", "what"),
    ),
    Verb(
        "collect",
        "sim.collect:CollectConfig",
        "sim.collect:run",
        "collects demonstrations of grasping toys",
        "cezanne collect toys=250 demos=2500 out=data/toys seed=0",
    ),
    Verb(
        "augment",
        "augment.config:AugmentConfig",
        "augment.run:run",
        "widens a data set: the same motions, another camera, room, table, object, arm or light",
        "cezanne augment data=data/toys out=data/wide chain=[viewpoint,background] copies=2",
    ),
    Verb(
        "diagnose",
        "augment.diagnose.run:DiagnoseConfig",
        "augment.diagnose.run:run",
        "says whether a data mixture teaches the task or the camera",
        "cezanne diagnose data=[data/left,data/right]",
    ),
    Verb(
        "train",
        "policies.config:TrainConfig",
        "eval.closed_loop:run",
        "trains a policy on demonstrations",
        "cezanne train data=data/toys out=runs/detpool",
    ),
    Verb(
        "remix",
        "policies.remix:RemixConfig",
        "policies.remix:run",
        "finds weights for the data sets of a mixture",
        "cezanne remix train.mixture=mixture.yaml out=runs/remix",
    ),
    Verb(
        "eval",
        "eval.evaluate:EvalConfig",
        "eval.evaluate:run",
        "tries a policy on objects and counts what it lifts",
        "cezanne eval checkpoint=runs/detpool suite=household",
    ),
    Verb(
        "sweep",
        "eval.sweep:SweepConfig",
        "eval.sweep:run",
        "tries policies on suites under perturbations, with the control on the same seeds",
        "cezanne sweep checkpoints=[runs/detpool] suites=[ycb65] axes=[light,mask_noise]",
    ),
    Verb(
        "compare",
        "eval.compare:CompareConfig",
        "eval.compare:run",
        "says whether a NEW policy is better or worse than an OLD one, on the trials that both ran",
        "cezanne compare runs/eval-new runs/eval-old --fail-if-worse",
        ("new", "old"),
    ),
    Verb(
        "replay",
        "deploy.replay:ReplayConfig",
        "deploy.replay:run",
        "runs one trial of an evaluation again, or a policy on what a black box recorded",
        "cezanne replay runs/eval 0",
        ("run", "trial"),
    ),
    Verb(
        "study",
        "eval.studies.runner:StudyConfig",
        "eval.studies.runner:run",
        "answers one question by experiment, with a figure",
        "cezanne study mask_noise checkpoint=runs/demo/policy",
        ("name",),
    ),
    Verb(
        "view",
        "episodes.view:ViewConfig",
        "episodes.view:run",
        "turns an episode into a video and a contact sheet",
        "cezanne view data=data/toys episode=0",
    ),
    Verb(
        "deploy",
        "deploy.config:DeployConfig",
        "deploy.deploy:run",
        "runs a policy on an arm, simulated or physical, slowly first",
        "cezanne deploy robot=franka_sim checkpoint=runs/demo/policy",
    ),
    Verb(
        "calibrate",
        "deploy.calibrate:CalibrateConfig",
        "deploy.calibrate:run",
        "prints a board, and measures with it a camera's lens and where it stands",
        "cezanne calibrate step=board",
    ),
    Verb(
        "convert",
        "episodes.convert:ConvertConfig",
        "episodes.convert:run",
        "a data set to LeRobotDataset v3.0, or from it",
        "cezanne convert data=data/toys out=data/toys-lerobot",
    ),
    Verb(
        "record",
        "deploy.record:RecordConfig",
        "deploy.record:run",
        "a person moves an arm, and it becomes demonstrations to train on",
        "cezanne record robot=sim teleop=keyboard out=data/mine",
    ),
    Verb(
        "robots",
        "deploy.robots:RobotsConfig",
        "deploy.robots:run",
        "lists the arms that can be driven, what each needs, and whether it is installed",
        "cezanne robots",
    ),
    Verb(
        "stop",
        "deploy.halt:StopConfig",
        "deploy.halt:run",
        "stops every arm that you have a session with, from any terminal",
        "cezanne stop",
    ),
    Verb(
        "demo",
        "eval.demo:DemoConfig",
        "eval.demo:run",
        "all of it, from a seed to a report",
        "cezanne demo out=runs/demo",
    ),
)

HELP = "cezanne: robots that learn to grasp anything by playing with random toys"
OPTIONS = ("-h", "--help", "--debug")
"""Taken by every verb, besides its boolean keys as flags."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    with suppress(ValueError):  # not the main thread: no signals to take
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _command(arguments)
    except KeyboardInterrupt:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would only add a traceback
        return _fail("stopped; what was written so far is kept", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output left
        return 1
    except Exception as error:
        if debug:
            raise
        return _fail(*_verdict(error))


def _verdict(error: Exception) -> tuple[str, int]:
    """What to say about an error, and the exit code."""
    said = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {said}; what was written so far is kept, free some space and run it again", 1
    if type(error).__module__.split(".")[0] in ROOMS:
        return said, 2
    if isinstance(error, MemoryError):
        return "out of memory; fewer workers or a smaller batch need less", 1
    return f"{type(error).__name__}: {said} (--debug shows where)", 1


def _fail(said: str, code: int) -> int:
    sys.stdout.flush()
    print(f"cezanne: {said}", file=sys.stderr)
    return code


def _command(arguments: Sequence[str]) -> int:
    if "--version" in arguments:
        print(f"cezanne {importlib.metadata.version('cezanne')}")
        return 0
    options = [a for a in arguments if a.startswith("-") and a != "-"]
    words = [a for a in arguments if a not in options]
    wants_help = "--help" in options or "-h" in options
    if not words or words[0] == "help":
        if not arguments or wants_help or words:
            print(_overview())
            return 0
        raise UsageError(f"{options[0]} needs a verb: {', '.join(v.name for v in VERBS)}")
    verb = find_verb(words[0])
    from sim import gl

    gl.setup()  # before anything imports mujoco
    flags = _flags(verb, options)
    if wants_help:
        print(describe(verb))
        return 0
    summary = _load(verb.run)(configure(verb, [*spell_out(verb, words[1:]), *flags]))
    if summary:  # of several processes, one has something to say
        print(json.dumps(summary, default=_plain), flush=True)
    return 0 if summary.get("ok", True) else 1


def spell_out(verb: Verb, words: Sequence[str]) -> list[str]:
    """Words without "=" as values of the verb's positional keys, the rest as it is. Raises UsageError for too many, or a key set twice."""
    bare = [word for word in words if "=" not in word]
    if not verb.positional:
        return list(words)  # whoever reads the keys refuses a word among them
    if len(bare) > len(verb.positional):
        wanted = " ".join(name.upper() for name in verb.positional)
        raise UsageError(f"{verb.name} takes {wanted}; {bare[len(verb.positional)]!r} is one word too many (keys are written key=value)")
    filled = dict(zip(verb.positional, bare, strict=False))
    given = [word for word in words if "=" in word]
    for name in filled.keys() & {word.partition("=")[0] for word in given}:
        raise UsageError(f"{name} is given twice: {filled[name]!r} as a word, and as {name}=...")
    return [f"{name}={word}" for name, word in filled.items()] + given


def _flags(verb: Verb, options: Sequence[str]) -> list[str]:
    """Options that are boolean keys of the verb, as overrides. Raises UsageError for one that is none."""
    asked = [option for option in options if option not in OPTIONS]
    if not asked:
        return []
    from conf.compose import flags

    known = {f"--{key.replace('_', '-')}": key for key in flags(verb.name, _load(verb.config))}
    for option in asked:
        if option not in known:
            name = option.lstrip("-").partition("=")[0]
            near = nearest(name, [flag.lstrip("-") for flag in (*known, "--help", "--debug")])
            raise UsageError(f"unknown option {option}; keys are written key=value, as in: {verb.example}{near}")
    return [f"{known[option]}=true" for option in asked]


def _overview() -> str:
    width = max(len(v.name) for v in VERBS)
    rows = "\n".join(f"  {v.name:{width}}  {v.summary}" for v in VERBS)
    return (
        f"{HELP}\n\n{rows}\n\nUsage: cezanne VERB key=value ...\n"
        "cezanne VERB --help says what it takes; --debug shows where an error came from; --version"
    )


def find_verb(name: str) -> Verb:
    """The row of a verb. Raises UsageError."""
    for verb in VERBS:
        if verb.name == name:
            return verb
    names = [v.name for v in VERBS]
    raise UsageError(f"unknown verb {name!r}" + nearest(name, names) + f"; known: {', '.join(names)}")


def configure(verb: Verb, overrides: Sequence[str]) -> Any:
    """The typed config of a verb: its dataclass, `conf/`, then the overrides.

    Raises UsageError, or what the checks of the dataclass raise.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from conf.compose import compose

    cfg = compose(verb.name, _load(verb.config), overrides)
    try:
        return OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise UsageError(str(error).splitlines()[0]) from error


def describe(verb: Verb) -> str:
    """What a verb does, an example, its keys and its groups."""
    from conf.describe import describe as keys

    words = "".join(f" {name.upper()}" for name in verb.positional)
    usage = f"Usage: cezanne {verb.name}{words} key=value ..."
    return f"cezanne {verb.name}: {verb.summary}\n\n{usage}\nExample: {verb.example}\n\n" + keys(verb.name, _load(verb.config))


def _load(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def _plain(value: Any) -> Any:
    """JSON for what numpy and pathlib bring along."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


if __name__ == "__main__":
    sys.exit(main())
