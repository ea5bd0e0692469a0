"""Who is in the way of a target: its blockers, the direction of each (`kinds`), and their processes (`owners`)."""
