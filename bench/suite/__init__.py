"""The pieces of run.py: servers, the load, what is measured, and how it is shown."""
