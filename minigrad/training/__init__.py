"""The training loop: `Trainer`, its history, and metrics."""

from .history import History
from .metrics import Mean, accuracy, class_report, format_report
from .monitor import Monitor
from .trainer import Trainer

__all__ = ["History", "Mean", "Monitor", "Trainer", "accuracy", "class_report", "format_report"]
