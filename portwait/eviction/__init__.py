"""Remove what is in the way: destroy a connection, or signal the process that owns it."""
