"""Beside the broker: lets revocations take effect, and proves that they did. `guard.py` has the steps and their order."""
