"""What others' data sets measured: "Shortcut Learning in Generalist Robot Policies" (Xing et al., CoRL 2025).

Read off the pictures of the paper (figures 2, 4 and 12), to about 5 %. Its features are DINOv2 and SigLIP of variants that it does not
name: they are a scale for features of that kind, and for no other.
"""

from __future__ import annotations

from collections.abc import Mapping

ROBOTS: Mapping[str, float] = {
    "DobbE": 800, "DROID": 430, "Bridge": 99, "RT-1": 35, "BC-Z": 23, "Fanuc": 15, "Roboturk": 14, "Kuka": 11, "Hydra": 9.5, "FMB": 8.4,
    "Pickup-Insert": 7.4, "Mutex": 7.0, "FurnitureBench": 6.8, "Language Table": 5.3, "CMU Stretch": 5.1, "Jaco": 4.5, "Cable Routing": 3.9,
    "Sirius": 3.8, "Viola": 3.7, "UR5": 3.1, "UCSD Kitchen": 3.1, "Franka Play": 2.9, "Sailor": 2.7, "DLR": 2.6, "Toto": 2.6,
    "Taco Play": 2.5, "Austin Buds": 1.6,
}  # fmt: skip
"""Diversity of the pictures of 27 sub-datasets of Open X-Embodiment at t = 20."""
PICTURES: Mapping[str, float] = {
    "Open Images": 4.4e5, "ImageNet": 3.0e5, "Flickr30k": 1.6e5, "COCO": 8.9e4, "Visual Genome": 8.4e4, "GQA": 7.2e4, "CC3M": 5.3e4,
    "iNaturalist": 2.9e4, "ADE20K": 2.8e4, "LAION": 4.5e3,
}  # fmt: skip
"""The same of ten sets that models of vision and language are trained on."""
ROBOT_FRAGMENTATION: Mapping[float, float] = {10: 33, 20: 742, 30: 1.08e4, 40: 1.17e5, 50: 1.06e6, 60: 8.5e6, 70: 6.4e7}
"""Disparity over diversity of the 27, by temperature."""
PICTURE_FRAGMENTATION: Mapping[float, float] = {10: 3.6, 20: 21, 30: 145, 40: 675, 50: 2.07e3, 60: 4.8e3, 70: 8.9e3}
"""Of the ten."""
