"""Studies: one question each, by name."""

from eval.studies import (
    clutter,
    demonstrations,
    execution,
    latency,
    mask_form,
    mask_noise,
    masks,
    parts,
    pooling,
    primitives,
    references,
    similarity,
    size,
)
from eval.studies.study import Study

__all__ = ["STUDIES"]

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        references.STUDY,
        demonstrations.STUDY,
        primitives.STUDY,
        parts.STUDY,
        size.STUDY,
        pooling.STUDY,
        mask_form.STUDY,
        masks.STUDY,
        mask_noise.STUDY,
        clutter.STUDY,
        clutter.SCENES,
        similarity.STUDY,
        execution.HORIZON,
        execution.HISTORY,
        latency.STUDY,
    )
}
