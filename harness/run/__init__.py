"""A run: plan the units of work, execute them on an engine, and write the result rows."""
