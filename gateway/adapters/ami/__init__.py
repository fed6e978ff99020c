"""Asterisk's manager interface (AMI) as a Switch."""

from gateway.adapters.ami.settings import AmiSettings
from gateway.adapters.ami.stats import LinkStats
from gateway.adapters.ami.switch import AmiSwitch

__all__ = ["AmiSettings", "AmiSwitch", "LinkStats"]
