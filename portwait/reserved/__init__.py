"""The kernel's reserved ports: change the list now and at boot."""
