"""What tools/encoders.py is made of: encoders, and what their features are good for."""
