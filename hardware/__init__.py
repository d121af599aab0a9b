"""The vocabulary between robots and policies, and the one loop that runs a policy on a robot."""
