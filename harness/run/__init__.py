"""A run: its plan of units, what each one does, and the rows that it leaves."""
