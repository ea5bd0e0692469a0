"""Which ports the kernel may give away, how likely that is, and what each cure costs."""
