"""Logs of every process: one JSON object a line on standard error, few and rich."""

import logging
import sys

import structlog
from structlog.typing import Processor


def set_up_logs(keep: Processor | None = None) -> None:
    """For __main__ modules and actor constructors. keep: sees each entry before it is written."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *([keep] if keep is not None else []),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
