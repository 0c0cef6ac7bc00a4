"""Arrays in, arrays out: mathematics that more than one step needs."""
