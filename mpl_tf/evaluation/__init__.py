"""What is evaluated: which trained network, on which labeled images."""
