"""The foundation: errors, files, locks, hashes, text. It knows no task and no model."""
