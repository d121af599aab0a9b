"""From a checkpoint to an arm: the verbs deploy, record, calibrate, robots, stop."""
