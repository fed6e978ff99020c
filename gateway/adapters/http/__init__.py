"""The HTTP side: what Prometheus and a supervisor ask of a running gateway."""
