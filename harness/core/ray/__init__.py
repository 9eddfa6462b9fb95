"""A Ray cluster: connect to it, check its nodes, and run calls on them."""
