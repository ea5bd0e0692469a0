"""Ask the kernel by bind() (`probe`), and keep a port from being given away (`hold`, its descriptor's number too)."""
