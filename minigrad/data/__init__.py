"""Datasets, loaders, text, vocabularies: everything before the first tensor.

Batches are NumPy arrays on the host, where ids are checked; a model moves them to its device.
`minigrad.data.datasets` holds the real data sets.
"""

from __future__ import annotations

from minigrad.data import datasets
from minigrad.data.dataset import ArrayDataset, Dataset, Subset, random_split, split_by_key
from minigrad.data.loader import BatchSampler, BucketSampler, DataLoader, Sampler, padding_waste
from minigrad.data.sequences import (
    BlockDataset,
    Padded,
    batchify,
    check_ids,
    collate,
    length_mask,
    pad,
    pad_collate,
    unpad,
)
from minigrad.data.text import normalize, strip_accents, tokenize
from minigrad.data.vocabulary import Vocabulary

__all__ = [
    "ArrayDataset",
    "BatchSampler",
    "BlockDataset",
    "BucketSampler",
    "DataLoader",
    "Dataset",
    "Padded",
    "Sampler",
    "Subset",
    "Vocabulary",
    "batchify",
    "check_ids",
    "collate",
    "datasets",
    "length_mask",
    "normalize",
    "pad",
    "pad_collate",
    "padding_waste",
    "random_split",
    "split_by_key",
    "strip_accents",
    "tokenize",
    "unpad",
]
