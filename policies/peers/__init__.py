"""LeRobot's policies as baselines: its networks, losses, optimisers and normalisation; our data, contract and suites."""
