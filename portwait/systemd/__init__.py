"""What systemd and portwait say to each other: sockets passed in and on, the descriptor store, notifications."""
