"""What a model is worth: scores on fixed rows, compared in pairs, judged by gates."""
