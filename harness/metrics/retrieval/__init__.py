"""The metrics of retrieval, one module each; the protocol ``retrieval`` reports them."""
