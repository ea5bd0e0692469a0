"""How values are written for people: escaping, masking, durations, columns, standard error."""
