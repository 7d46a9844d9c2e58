"""The files that the record is kept in: the private one, what is published, how it is checked."""
