"""Data: from what a user names to batches of (x, target, index)."""

from steelyard.data.augment import AUGMENTATIONS, augmentation, crop, flip, vflip
from steelyard.data.batches import Batches
from steelyard.data.builtin import BUILTIN, data_root
from steelyard.data.colour import COLOURS, shades_of_grey
from steelyard.data.dataset import Dataset, Table
from steelyard.data.download import SOURCES, fetch
from steelyard.data.encoding import Encoding, ImageEncoding, TableEncoding, fit_encoding, unscaled
from steelyard.data.hashes import content_hashes
from steelyard.data.images import ImageFiles
from steelyard.data.imbalance import IMBALANCES, imbalance
from steelyard.data.pairs import Pairs, read_pairs
from steelyard.data.readers import read
from steelyard.data.splits import Split, split

__all__ = [
    "AUGMENTATIONS",
    "BUILTIN",
    "COLOURS",
    "IMBALANCES",
    "SOURCES",
    "Batches",
    "Dataset",
    "Encoding",
    "ImageEncoding",
    "ImageFiles",
    "Pairs",
    "Split",
    "Table",
    "TableEncoding",
    "augmentation",
    "content_hashes",
    "crop",
    "data_root",
    "fetch",
    "fit_encoding",
    "flip",
    "imbalance",
    "read",
    "read_pairs",
    "shades_of_grey",
    "split",
    "unscaled",
    "vflip",
]
