"""Applications that know nothing of the mesh. Standard library only: compose runs the same files in plain Python."""
