//! Takes fixed fields from the front of a slice. Every step checks what is left, so no length is believed before it is
//! known to fit.

pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reserved bytes must be zero: a later layout that gives them a meaning must not be misread.
    pub fn zeros(&mut self, count: usize) -> Option<()> {
        self.bytes(count)?.iter().all(|&byte| byte == 0).then_some(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
