"""What talks: one thin file per outside thing."""
