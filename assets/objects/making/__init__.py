"""What makes a pack of one mesh, in a child process: read, closed, cut into convex pieces, painted, weighed, written."""
