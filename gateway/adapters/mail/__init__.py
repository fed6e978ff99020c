"""Notices by e-mail: their words and figures, the mail that is made of them, and the way to the mail server."""
