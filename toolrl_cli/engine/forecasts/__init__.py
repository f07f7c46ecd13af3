"""What a plan will take in time, GPU-hours, memory and disk, and the limits that it is held against."""
