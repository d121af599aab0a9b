"""Real objects: robosuite's household six, folders of packs, folders of meshes."""

from assets.errors import ObjectError
from assets.objects.objectset import ObjectSet, find_ycb, open_objects, open_ycb
from assets.objects.pack import Pack

__all__ = ["ObjectError", "ObjectSet", "Pack", "find_ycb", "open_objects", "open_ycb"]
