"""Answers the checks must accept and refuse."""

SETUP = "import math, torch"

BANK = {}
