"""How long portwait takes, beside the tools that people use: `python -m benchmarks`."""
