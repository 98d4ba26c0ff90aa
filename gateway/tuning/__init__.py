"""The engineer's bench: scenarios and what they show, examples, drills."""
