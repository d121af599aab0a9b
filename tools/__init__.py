"""What makes things of this repository; no part of what is installed."""
