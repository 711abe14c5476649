"""Moving in: the tasks of files that other apps export.

A module for each format reads bytes and yields what it found, in the order of the file. None of
them knows the database: whose tasks they become, and under which ids, is not theirs to say.
"""
