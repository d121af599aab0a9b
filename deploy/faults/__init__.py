"""What can go wrong with an arm, injected for real: `python -m deploy.faults` writes the table of docs/safety.md."""
