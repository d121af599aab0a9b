"""The controlled study of "Shortcut Learning in Generalist Robot Policies" in our scene: does a policy read the camera or the object?"""
