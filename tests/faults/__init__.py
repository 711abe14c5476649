"""The fault suite: clients at work while the database, the network and the workers fail.

Each fault is measured from the clients' side, and what they were told is compared with what the
database holds afterwards: `make faults`, and shorter in `tests/test_faults.py`.
"""
