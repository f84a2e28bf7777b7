//! Sizes that more than one room must agree on.

/// 1,024 bytes.
pub const KIB: u64 = 1024;
/// 1,024 KiB.
pub const MIB: u64 = 1024 * KIB;
/// 1,024 MiB.
pub const GIB: u64 = 1024 * MIB;
/// 1,024 GiB.
pub const TIB: u64 = 1024 * GIB;

/// The most bytes that one extent holds. An extent is buffered whole before it is coded, so this bounds what one stream
/// may ask of memory.
pub const EXTENT_BYTES_MAX: u64 = 16 * MIB;

/// The most extents that share one stripe.
pub const STRIPE_EXTENTS_MAX: usize = 1024;

/// The most extent ranges that a version's own row names; longer objects have a manifest.
pub const VERSION_RANGES_MAX: usize = 8;

/// The most extent ranges in one page of a manifest.
pub const MANIFEST_PAGE_RANGES_MAX: usize = 128;

/// The most parts in one page of a manifest that names parts.
pub const MANIFEST_PAGE_PARTS_MAX: usize = 64;

/// The most parts of a multipart upload, and the greatest number of one.
pub const PARTS_MAX: u16 = 10_000;

/// The longest object key that S3 allows, in bytes of UTF-8.
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;

/// The most bytes of one object: what S3 promises.
pub const OBJECT_BYTES_MAX: u64 = 5 * TIB;

/// The most bytes of one PUT or one part: what S3 promises.
pub const PUT_BYTES_MAX: u64 = 5 * GIB;
