"""A HEAR-compatible evaluation harness: any HEAR-API module on any HEAR-format task."""
