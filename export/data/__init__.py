"""Arrays that go into models: samples, images, batches. Needs numpy alone."""
