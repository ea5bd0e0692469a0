"""Tell people and programs what was found."""
