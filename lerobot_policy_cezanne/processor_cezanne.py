"""What LeRobot does to batches before the policy and to actions after it: device and batch dimension, no normalising."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lerobot.processor import PolicyAction, PolicyProcessorPipeline, make_default_pre_post_processors
from lerobot.utils.constants import POLICY_POSTPROCESSOR_DEFAULT_NAME, POLICY_PREPROCESSOR_DEFAULT_NAME

from lerobot_policy_cezanne.configuration_cezanne import CezanneConfig
from policies.errors import PolicyError

STEPS = {"rename_observations_processor", "to_batch_processor", "device_processor", "normalizer_processor", "unnormalizer_processor"}
"""LeRobot's own names of all that may be in our pipelines."""


def make_cezanne_pre_post_processors(
    config: CezanneConfig, dataset_stats: dict[str, dict[str, torch.Tensor]] | None = None
) -> tuple[PolicyProcessorPipeline[dict[str, Any], dict[str, Any]], PolicyProcessorPipeline[PolicyAction, PolicyAction]]:
    """LeRobot's usual pipelines, whose normaliser has nothing to do: `dataset_stats` would not be used, and is not stored."""
    return make_default_pre_post_processors(config, None, normalizer_device=config.device)


def check_processors(folder: Path) -> None:
    """LeRobot imports whatever class a pipeline's file names. Raises PolicyError unless it names LeRobot's own steps, and only those."""
    for name in (POLICY_PREPROCESSOR_DEFAULT_NAME, POLICY_POSTPROCESSOR_DEFAULT_NAME):
        file = folder / f"{name}.json"
        try:
            steps = json.loads(file.read_text(encoding="utf-8"))["steps"]
            named = [(set(step), step.get("registry_name")) for step in steps]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PolicyError(f"{file} is damaged ({str(error)[:80]})") from None
        for keys, known in named:
            if "class" in keys or known not in STEPS:
                asked = "a class by its name" if "class" in keys else f"the step {known!r}"
                raise PolicyError(f"{file} asks for {asked}; only {', '.join(sorted(STEPS))} are let in")
