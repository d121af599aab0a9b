"""Whether cameras stand where a policy was trained with them."""
