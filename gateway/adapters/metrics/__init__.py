"""What is counted for those who watch, as Prometheus metrics."""

from gateway.adapters.metrics.watch import PrometheusWatch

__all__ = ["PrometheusWatch"]
