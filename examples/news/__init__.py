"""The Portuguese news task: three sentences, each with a polarity and an emotion."""
