"""The verbs, a file each: `run(words)` goes from a verb's words to its exit status and its text for stdout.

The guard is the exception: it prints nothing to stdout, because that is the service's, and may not return at all.
"""
