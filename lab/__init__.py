"""Training and probes of the embedded model, the choices of AOT's defaults, and the time of single parts.

Run from the root of the repository, such as ``python -m lab.train --out DIR``. It is no part of the package.
"""
