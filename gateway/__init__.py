"""Lilong: a sensor gateway and alerting daemon for the safety of neighbourhoods."""

__version__ = "0.1.0"
