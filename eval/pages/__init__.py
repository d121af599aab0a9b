"""Pages for people: reports, sweeps, comparisons; their charts and tables."""
