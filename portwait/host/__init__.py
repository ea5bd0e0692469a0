"""What this machine is like: its port settings, where portwait runs, what it may do."""
