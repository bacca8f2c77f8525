"""OLMo 2, whole: data, pretraining, post-training, evaluation and release of open language models."""

__version__ = "0.1.0"
