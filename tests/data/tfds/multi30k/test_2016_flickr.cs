Most.
