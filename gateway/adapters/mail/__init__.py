"""Notices by e-mail: their words and figures, the mail that is made of them, and the way to the mail server."""

from gateway.adapters.mail.postman import SmtpPostman, learn
from gateway.adapters.mail.server import MailServer, Tls

__all__ = ["MailServer", "SmtpPostman", "Tls", "learn"]
