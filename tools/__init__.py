"""Programs that made the shipped data; they are run from a checkout and not installed."""
