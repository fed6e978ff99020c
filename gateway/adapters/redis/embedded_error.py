"""Why there is no embedded server. By itself, as it is caught where no server is wanted and no client of one loaded."""


class EmbeddedServerError(Exception):
    """The embedded server cannot be had; the sentence says why and what to do."""
