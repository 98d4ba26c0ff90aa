"""The engineer's bench: scenarios now; backtest, diff and sweep later."""
