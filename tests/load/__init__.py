"""Benchmarks on the real Asterisk and SIPp: `make bench`. Every figure stands beside the floor of the same run."""
