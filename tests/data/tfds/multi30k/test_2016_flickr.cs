Klíč.
