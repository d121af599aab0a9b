"""What a black box shows: its page, and a policy asked again."""
