"""What the tests stand on: private namespaces, programs with a ready line, deadlines, second sources."""
