"""Which rows are worth a person's time, and the page on which that person decides."""
