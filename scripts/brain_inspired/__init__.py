"""The brain-inspired paper on LeNet-300-100, reproduced: its runs and Table 1, figures, claims, and verdicts on its wirings."""
