"""The data that all other rooms share: the Episode, the store, the viewer."""

from episodes.dataset import Dataset, Signals, open_dataset
from episodes.episode import Episode
from episodes.errors import EpisodeError, StoreError
from episodes.info import CameraInfo, DatasetInfo
from episodes.writer import DatasetWriter

__all__ = ["CameraInfo", "Dataset", "DatasetInfo", "DatasetWriter", "Episode", "EpisodeError", "Signals", "StoreError", "open_dataset"]
