"""`make bench`: Thimble beside its peers, in one browser session, on models written on the spot.

The driver is Python, the pages are TypeScript; peers are installed here and nowhere in the product.
docs/bench/README.md says how it is measured and what came out.
"""
