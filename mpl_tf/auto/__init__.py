"""Candidates for the classifier of a folder, how they compare, and what is delivered."""
