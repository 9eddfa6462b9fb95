"""Programs that make the shipped data; they run from a checkout and are not installed."""
