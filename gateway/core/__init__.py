"""What thinks: no files, no network, no threads, no clock, no randomness."""
