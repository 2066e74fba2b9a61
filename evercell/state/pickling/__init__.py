"""Values as pickle streams with their buffers beside them, and back."""
