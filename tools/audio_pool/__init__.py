"""Build the training audio of the shipped checkpoint from Debian packages."""
