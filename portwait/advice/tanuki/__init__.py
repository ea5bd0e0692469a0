"""The Tanuki Java Service Wrapper: recognise it, read its configuration, move its ports."""
