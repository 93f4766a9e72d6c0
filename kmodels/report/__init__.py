"""The run folder: numbers, pictures, one self-contained page and a model card that a person can open."""

from kmodels.report import canvas, fragments, glossary, html, model_card, plots, rating, run_folder

__all__ = ["canvas", "fragments", "glossary", "html", "model_card", "plots", "rating", "run_folder"]
