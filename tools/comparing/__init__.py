"""What tools/compare.py is made of: runs, statistics and tables, pictures."""
