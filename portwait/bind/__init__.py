"""Ask the kernel by bind(), and keep a port from being given away."""
