"""The twin of `_linux` for other systems, and for a Linux that refuses netlink: the same questions, through psutil."""
