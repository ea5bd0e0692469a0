"""The kernel's reserved ports: change the list now (`runtime`), and in a file of sysctl.d (`boot_file`)."""
