"""The best classifier of a folder in given minutes: candidates, their comparison, what is told."""
