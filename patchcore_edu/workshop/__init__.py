"""The workshop: one JupyterHub for a room of learners, how many the machine can hold, and what the teacher sees."""
