"""Faults played against live calls on the real Asterisk."""
