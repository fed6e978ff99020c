"""The HTTP side: what Prometheus and a supervisor ask of a running gateway."""

from gateway.adapters.http.server import HttpServer, HttpServerError, ReadyCheck, Render

__all__ = ["HttpServer", "HttpServerError", "ReadyCheck", "Render"]
