"""Linux behind a narrow door: socket tables, socket events, /proc, cgroups, sysctl. Nothing here knows a verb."""
