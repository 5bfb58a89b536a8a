"""What everybody answers to the same held-out rows, measured: a Report as data."""
