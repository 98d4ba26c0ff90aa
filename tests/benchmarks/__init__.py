"""Figures, not tests: `python -m tests.benchmarks` prints what this box reaches and asserts nothing.

Every figure stands beside a reference measured in the same command (A: a bare stock paho subscriber,
B: the tutorial's paho + json + Point + batching WriteApi), because absolute figures drift from run to run.
"""
