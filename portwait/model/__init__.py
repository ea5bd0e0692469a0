"""What portwait talks about: targets, ports, sockets, owners, blockers. Immutable values; no kernel, no file."""
