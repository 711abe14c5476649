"""/metrics: what a server has done since it started, for Prometheus."""
