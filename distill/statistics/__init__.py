"""Statistics of paired answers: intervals, tests, power, calibration. Numbers in, figures out."""
