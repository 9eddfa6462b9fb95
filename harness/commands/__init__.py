"""Groups of commands of ``hear-byola``; like the command line, they know both packages' insides."""
