"""What is known, in words for people and in a dictionary for programs; other people's text made safe to show."""
