"""The kernel's list of reserved ports: changed now, kept at boot, and where it cannot be changed from here."""
