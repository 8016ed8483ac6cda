"""What tools/feedback_search.py is made of: conditions, variants, trials, the choice, tables."""
