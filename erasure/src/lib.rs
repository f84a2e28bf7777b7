//! Bytes to stripes and back: Reed-Solomon codec, stripe writer, stripe reader.
