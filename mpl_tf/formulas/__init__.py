"""Pure functions, each with its equation and source: no state, no devices."""
