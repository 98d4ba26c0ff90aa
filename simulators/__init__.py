"""A neighbourhood to practise on: real payloads, scripted incidents, a known truth.

Imports gateway.core only, so that what it says and how it is scored owe nothing to the code under test.
"""
