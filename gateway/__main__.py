"""`python -m gateway`: the command without its script."""

from gateway.cli import main

main()
