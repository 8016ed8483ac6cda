"""The model that leaves the house: a SavedModel and the functions in it."""
