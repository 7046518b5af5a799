"""PDNet: the part-decoupling network for video portrait segmentation, rebuilt as a reproducible
pipeline.
"""
