"""The load average when a benchmark starts: imported before torch, whose import alone raises it
above what --ddp allows."""

import os

AT_START = os.getloadavg()[0]
