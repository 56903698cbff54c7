"""The corpus of Keras models that `keras_corpus.py` exports and judges."""
