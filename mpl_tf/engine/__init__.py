"""What carries a method: one step, on any device, and Keras's fit around it."""
