"""What the user asked for, by word or by environment variable."""
