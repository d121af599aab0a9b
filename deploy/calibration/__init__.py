"""What a board in pictures tells of a camera: its lens, and where it stands."""
