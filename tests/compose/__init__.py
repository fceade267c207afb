"""The installation from images, as its owner starts it: ./run test --compose."""
