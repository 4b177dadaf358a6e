"""What a domain's model is made with: collection, curation, dataset, training, evaluation, promotion."""

__version__ = "0.7.0"
