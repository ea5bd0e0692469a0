"""Wait until a port can be bound: the loop, its schedule, what it says, how it ends."""
