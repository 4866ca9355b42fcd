"""What an analyst asks of runs: tidy tables, tokens of an expert, sweeps in one table."""
