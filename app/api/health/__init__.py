"""Health: whether the process takes requests, and whether its database answers."""
