"""Column-level lineage: from a column of a mart to the columns of the landing files it is made of, and back."""
