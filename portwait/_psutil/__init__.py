"""The same questions answered by psutil, for other systems and where there is no netlink."""
