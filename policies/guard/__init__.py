"""The door of checkpoints: nothing by strangers is parsed, allocated or loaded before it was looked over here."""
