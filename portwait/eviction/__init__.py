"""Getting what is in the way out of it: evict a connection, or as the last resort signal its owner."""
