"""The endpoint /metrics for Prometheus."""
