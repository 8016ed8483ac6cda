"""The parts of tools/describe.py."""
