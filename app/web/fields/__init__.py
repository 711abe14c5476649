"""Types of the values in bodies and queries: strict, and described in the contract as checked.

The OpenAPI document shows each pattern. Texts of a fixed form are matched against it; for longer
texts, code that means the same takes linear time. Every length is checked before anything else.

Client generators compile the patterns with the regular expressions of their language, so they use
only what ECMAScript, RE2, Go, Rust and Python have in common: no look-ahead, no class like `\\s`.
"""
