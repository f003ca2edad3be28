"""The workshop: one JupyterHub for a room of learners, what the machine bears, and what the teacher sees."""
