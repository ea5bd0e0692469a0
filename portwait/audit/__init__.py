"""Which ports the kernel may hand out, how likely that is, and what each cure costs."""
