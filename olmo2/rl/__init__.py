"""Responses of models, how good they are, and what is learnt from that."""
