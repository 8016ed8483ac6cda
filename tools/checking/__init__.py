"""What tools/check_data.py reads, says and draws."""
