"""Proven export of Keras models to SavedModel, TFLite and ONNX."""
