"""What the paper reports, on its own data (MVPS): comparable only with runs on MVPS."""

from __future__ import annotations

# Table 1 of the paper, MVPS test set, per cent
PAPER_TABLE_1 = {
    "COSNet (paper)": (85.7, 87.8, 97.7, 2.4, 83.5, 98.2, 1.8),
    "AGNN (paper)": (80.6, 83.1, 93.5, 2.4, 78.1, 93.3, 2.0),
    "MATNet (paper)": (79.2, 83.1, 94.6, 1.2, 75.2, 92.0, 0.9),
    "F2Net (paper)": (77.5, 82.2, 93.1, 2.1, 72.9, 86.4, 2.9),
    "FSNet (paper)": (84.2, 86.5, 95.8, 2.0, 81.9, 97.5, 1.8),
    "AMC-Net (paper)": (85.9, 88.1, 98.1, 0.6, 83.6, 97.4, 1.1),
    "HFAN-medium (paper)": (86.9, 88.6, 96.9, 2.7, 85.1, 95.5, 1.2),
    "IMCNet (paper)": (84.1, 86.6, 97.2, 2.0, 81.6, 97.6, 1.3),
    "PDNet (paper)": (88.1, 90.0, 98.3, 2.2, 86.1, 98.3, 0.9),
}
# Table 2, PP-HumanSeg14K: J&F, J, F
PAPER_TABLE_2 = {
    "COSNet (paper)": (95.7, 96.9, 94.6),
    "AGNN (paper)": (93.9, 96.1, 91.6),
    "MATNet (paper)": (93.1, 95.6, 90.7),
    "F2Net (paper)": (89.3, 93.9, 84.7),
    "IMCNet (paper)": (94.5, 96.4, 92.7),
    "PDNet (paper)": (96.0, 97.1, 94.9),
}
# the paper's J&F, J and F in per cent on the MVPS test set; None where the paper has no such row
PAPER_TABLE_3 = {
    "no-ipda": (85.0, 88.2, 81.9),
    "geometric": (86.5, 89.0, 84.0),
    "geometric-area": (87.3, 89.4, 85.2),
    "full": (88.1, 90.0, 86.1),
}
PAPER_TABLE_4 = {
    "one-part": (86.2, 88.8, 83.6),
    "three-parts": (86.7, 88.7, 84.7),
    "full": (88.1, 90.0, 86.1),
}
PAPER_TABLE_5 = {"first": "88.1 at 26.6 FPS", "first+previous_k": "better, at 9.7 FPS"}
