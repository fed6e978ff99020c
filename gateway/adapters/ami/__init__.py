"""Asterisk's manager interface (AMI) as a Switch."""
