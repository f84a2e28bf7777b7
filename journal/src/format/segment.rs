//! The first block of a segment: whose it is, which one, and the nonce that everything in it carries.

use cairn_core::WallTime;

use super::fields::Fields;
use super::{BLOCK_BYTES, CHECKSUM_BYTES, Look, SegmentKey, VERSION, checksum};
use crate::options::OwnerKind;

const MAGIC: [u8; 8] = *b"CAIRNSEG";
const CONTEXT: &str = "cairn 2026 journal segment header v1";
const SUMMED: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub key: SegmentKey,
    pub owner: OwnerKind,
    pub segment_bytes: u64,
    pub created: WallTime,
}

impl SegmentHeader {
    /// One whole block.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&[0; 7]);
        bytes.extend_from_slice(&self.key.nonce);
        bytes.extend_from_slice(&self.key.ordinal.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.owner.0);
        bytes.extend_from_slice(&self.segment_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.created.0.to_be_bytes());
        assert_eq!(bytes.len(), SUMMED);
        bytes.extend_from_slice(&checksum(CONTEXT, &[&bytes]));
        bytes.resize(BLOCK_BYTES as usize, 0);
        bytes
    }

    /// Reads the first block of a file that calls itself the segment of this ordinal.
    pub fn decode(block: &[u8], ordinal: u32) -> Look<Self> {
        assert_eq!(block.len(), BLOCK_BYTES as usize);
        if block.iter().all(|&byte| byte == 0) {
            return Look::Zero;
        }
        if block[..8] != MAGIC || block[SUMMED..SUMMED + CHECKSUM_BYTES] != checksum(CONTEXT, &[&block[..SUMMED]]) {
            return Look::Bad;
        }
        if block[8] > VERSION {
            return Look::Newer(block[8]);
        }
        match Self::fields(block) {
            Some(header) if header.key.ordinal == ordinal => Look::Sound(header),
            _ => Look::Bad,
        }
    }

    fn fields(block: &[u8]) -> Option<Self> {
        let mut fields = Fields(&block[8..SUMMED]);
        let version = fields.u8()?;
        fields.zeros(7)?;
        let nonce = fields.array()?;
        let ordinal = fields.u32()?;
        fields.zeros(4)?;
        let owner = OwnerKind(fields.array()?);
        let (segment_bytes, created) = (fields.u64()?, WallTime(fields.u64()?));
        (version == VERSION).then_some(Self { key: SegmentKey { ordinal, nonce }, owner, segment_bytes, created })
    }

    /// Whether a block may be what is left of a header that a crash tore: nothing but bytes of one, or zeros. Decides
    /// only whether a file that is otherwise empty may be removed.
    pub fn may_be_torn(block: &[u8]) -> bool {
        block[..8].iter().zip(MAGIC).all(|(&byte, magic)| byte == 0 || byte == magic)
            && block[SUMMED + CHECKSUM_BYTES..].iter().all(|&byte| byte == 0)
    }
}
