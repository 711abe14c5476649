"""Whether a request costs the same in ten thousand rows and in ten million."""
