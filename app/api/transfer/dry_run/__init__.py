"""The dry run of an import: what its lines would do is worked out by reading alone."""
