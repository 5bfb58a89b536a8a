"""The example tasks, their data and the embedded base student."""
