"""Real objects: robosuite's household six, folders of packs, folders of meshes."""

from assets.errors import ObjectError
from assets.objects.home import find_set, known_sets
from assets.objects.objectset import ObjectSet, find_ycb, open_objects, open_ycb
from assets.objects.pack import Pack

__all__ = ["ObjectError", "ObjectSet", "Pack", "find_set", "find_ycb", "known_sets", "open_objects", "open_ycb"]
