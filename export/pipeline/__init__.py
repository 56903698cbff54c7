"""The export of a model, from its loading to the published bundle."""
