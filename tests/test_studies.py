"""Studies: every arm of every profile is one that can be run; what is written is the same each time."""

from dataclasses import replace

import pytest
from eval_world import Lift, clumsy, skilled, things

from eval.errors import EvalError
from eval.evaluate import evaluate
from eval.studies import STUDIES
from eval.studies.document import place, section
from eval.studies.figure import draw
from eval.studies.runner import StudyConfig, _configured
from eval.studies.study import PROFILES, Arm, Result, Study, against, tolerance
from eval.suite import make_suite
from eval.trial import Rules
from policies.config import TrainConfig
from sim.variation import vary

CASES = [(study, profile) for study in STUDIES.values() for profile in PROFILES.values()]


@pytest.mark.parametrize(("study", "profile"), CASES, ids=lambda value: value.name)
def test_every_arm_can_be_run_and_has_a_name_of_its_own(study, profile):
    arms = study.arms(profile)
    assert len({arm.label for arm in arms}) == len(arms) >= 1
    ways = {(arm.train, arm.axis, arm.strength, arm.execute, arm.reference, arm.curve) for arm in arms}
    assert len(ways) == len(arms), "two arms are the same"
    for arm in arms:
        if arm.train is not None:
            assert isinstance(_configured([*profile.train, *arm.train]), TrainConfig)
        if arm.axis != "none":
            vary(arm.axis, arm.strength, 0)


def results():
    suite = make_suite("s", things(6), trials=4, seed=0)
    reports = [evaluate(policy, suite, Rules(execute=4), workers=0, robot=Lift) for policy in (skilled, clumsy)]
    perturbed = replace(reports[1], rows=tuple(replace(row, axis="mass", strength=1.0) for row in reports[1].rows))
    return [
        Result(Arm("good", 0.0, "c", paper=50.0), reports[0], 60.0, "a"),
        Result(Arm("bad", 1.0, "c", axis="mass", strength=1.0), perturbed, 0.0, "b"),
    ]


STUDY = Study("example", "Is it so?", "strength", lambda profile: [], lambda results: [])


def test_arms_are_compared_trial_by_trial_though_one_is_perturbed():
    (said,) = against(results(), "good")
    assert said.startswith("bad against good: -")
    assert "24 pairs" in said
    assert tolerance(results(), "mass")[0].startswith("c: from 100 % to ")


def test_a_section_takes_the_place_of_its_earlier_version(tmp_path):
    found = results()
    figure = draw(STUDY, found, tmp_path / "out/example.svg")
    again = draw(STUDY, found, tmp_path / "again/example.svg")
    assert figure.read_bytes() == again.read_bytes()
    document = tmp_path / "docs/results.md"
    document.parent.mkdir()
    document.write_text("# Results\n\nWhat people wrote stays.\n")
    text = section(STUDY, found, ["It is."], figure, "cezanne study example")
    place(document, "example", text, figure)
    once = document.read_text()
    place(document, "other", text, figure)
    place(document, "example", text, figure)
    assert document.read_text().startswith(once)
    assert once.count("## Is it so?") == 1
    assert document.read_text().count("## Is it so?") == 2
    assert "What people wrote stays." in once
    assert "| good | 100.0 % |" in once
    assert (document.parent / "images/example.svg").exists()


@pytest.mark.parametrize("wrong", [{"name": "mask_nois"}, {"profile": "tpu"}, {"trials": 17}, {"steps": -1}, {"suite": "no_such"}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(EvalError):
        StudyConfig(**wrong)
