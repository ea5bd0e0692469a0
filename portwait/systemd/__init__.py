"""Sockets passed in by systemd, its descriptor store, its notifications."""
