"""What `cezanne augment` takes: the chain, and the settings of each augmentation by its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from augment.background import BackgroundConfig, TableConfig
from augment.catalogue import check_chain
from augment.embodiment import EmbodimentConfig
from augment.errors import AugmentError
from augment.photometric import PhotometricConfig
from augment.swap import SwapConfig
from augment.viewpoint import ViewpointConfig
from sim.workers import check_executor


@dataclass
class AugmentConfig:
    """Widens a data set: other cameras, objects, rooms, arms or colours, the same motions."""

    data: str = "data/toys"
    """Folder of the data set; it is only read."""
    out: str = "data/wide"
    """Folder of the new one; an interrupted one is continued."""
    chain: list[str] = field(default_factory=lambda: ["viewpoint"])
    """Augmentations, applied one after the other: some of viewpoint, embodiment, background, table, swap, photometric, in that order."""
    copies: int = 1
    """Augmented episodes of each episode."""
    keep: bool = True
    """Whether the episodes themselves are in the new data set too."""
    seed: int = 0
    """Of everything that is drawn."""
    workers: int = 0
    """Processes; 0: one for each core, of a cluster one for each of its CPUs."""
    executor: str = "local"
    """Where they run: `local`, or `ray` (both folders must then be ones that all machines see)."""
    address: str = "auto"
    """Of the Ray cluster: `auto` (the one that runs here), `local` (one of our own), HOST:PORT or ray://HOST:PORT."""
    viewpoint: ViewpointConfig = field(default_factory=ViewpointConfig)
    embodiment: EmbodimentConfig = field(default_factory=EmbodimentConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    table: TableConfig = field(default_factory=TableConfig)
    swap: SwapConfig = field(default_factory=SwapConfig)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)

    def __post_init__(self) -> None:
        check_chain(self.chain)
        if not 1 <= self.copies <= 100:
            raise AugmentError(f"copies={self.copies}; 1 to 100 of each episode")
        if self.seed < 0 or self.workers < 0:
            raise AugmentError(f"seed={self.seed}, workers={self.workers}; neither can be negative")
        check_executor(self.executor, self.address)

    @property
    def settings(self) -> dict[str, Any]:
        """The configurations of the chain, by name."""
        return {name: getattr(self, name) for name in self.chain}
