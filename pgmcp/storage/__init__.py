"""Small files: reading, replacing, protecting and watching them."""
