"""What numbers of successes allow one to say: intervals, paired differences, power, sequential tests, laws."""

from eval.statistics.interval import Interval, wilson
from eval.statistics.outcomes import Paired, by_object, clustered, common, paired
from eval.statistics.pairing import mcnemar
from eval.statistics.power import detectable, detectable_paired

__all__ = ["Interval", "Paired", "by_object", "clustered", "common", "detectable", "detectable_paired", "mcnemar", "paired", "wilson"]
