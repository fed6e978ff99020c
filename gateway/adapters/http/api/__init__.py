"""The HTTP API for admins and clerks."""

from gateway.adapters.http.api.server import ApiServer

__all__ = ["ApiServer"]
