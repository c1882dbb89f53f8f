"""Your model and your data: fit, calibrate, flag, and keep watching."""
