"""J and F, frame by frame and clip by clip."""
