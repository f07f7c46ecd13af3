"""What one run is: the settings of a sweep file, one module for each of their subjects."""
