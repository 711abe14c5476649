"""HTTP: requests and responses, bodies, conditional requests, cursors, errors and limits."""
