"""The embedded base student: a tiny Llama, its corpus and how it was pretrained."""
