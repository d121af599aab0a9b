"""Controllers of arms that are not in the room: each speaks its vendor's real protocol on a loopback address."""
