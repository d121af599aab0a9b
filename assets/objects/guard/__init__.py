"""The door: archives, descriptions, meshes and pictures by strangers are looked over here before anything else reads them."""

from assets.errors import ObjectError
from assets.objects.guard.archive import Unpacked, unpack
from assets.objects.guard.limits import LIMITS, MESH_BYTES, MOST_FACES, Limits
from assets.objects.guard.markup import check_markup
from assets.objects.guard.meshfile import FORMATS, check_mesh
from assets.objects.guard.picture import check_picture
from assets.objects.guard.survey import Survey, survey

__all__ = [
    "FORMATS",
    "LIMITS",
    "MESH_BYTES",
    "MOST_FACES",
    "Limits",
    "ObjectError",
    "Survey",
    "Unpacked",
    "check_markup",
    "check_mesh",
    "check_picture",
    "survey",
    "unpack",
]
