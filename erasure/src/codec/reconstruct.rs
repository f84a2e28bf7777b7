//! Any k chunks to the others, data and parity alike.

use std::sync::LazyLock;

use bytes::Bytes;
use cairn_core::Geometry;
use cairn_core::stripe::CHUNK_ALIGNMENT;
use reed_solomon_simd::engine::{DefaultEngine, Engine};

use super::columns::Cursor;
use super::recipe::{Recipe, recipe};

/// How much of a chunk is mixed at a time: the sum stays in a core's first-level cache while the survivors stream by.
const COLUMN_BYTES: usize = 16 * 1024;

const UNIT_BYTES: usize = CHUNK_ALIGNMENT as usize;

/// The vector code for this processor with its tables, which take some milliseconds to fill.
static ENGINE: LazyLock<DefaultEngine> = LazyLock::new(DefaultEngine::new);

/// A chunk that is there, or a run of its bytes.
#[derive(Debug, Clone)]
pub struct Survivor {
    /// Which position it is.
    pub position: u8,
    /// Its bytes, in one or more parts.
    pub body: Vec<Bytes>,
}

/// The chunks at the wanted positions, out of exactly k others.
///
/// What goes for whole chunks goes for any run of them that begins and ends at multiples of the chunk alignment: from
/// the same run of the survivors comes that run of what is wanted. `bytes` is its length.
pub fn reconstruct(geometry: Geometry, survivors: &[Survivor], wanted: &[u8], bytes: usize) -> Vec<Bytes> {
    assert!(bytes.is_multiple_of(UNIT_BYTES), "runs of whole units");
    assert_eq!(survivors.len(), geometry.k(), "exactly as many survivors as there are data chunks");
    for survivor in survivors {
        assert!((survivor.position as usize) < geometry.positions(), "survivors are positions of the stripe");
        assert_eq!(survivor.body.iter().map(Bytes::len).sum::<usize>(), bytes, "runs of the same length");
    }
    let mut positions: Vec<u8> = survivors.iter().map(|survivor| survivor.position).collect();
    positions.sort_unstable();
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "survivors are distinct");
    for position in wanted {
        assert!((*position as usize) < geometry.positions(), "what is wanted is a position of the stripe");
        assert!(!positions.contains(position), "what is there need not be reconstructed");
    }
    if geometry.k() == 1 {
        return vec![whole(&survivors[0].body); wanted.len()];
    }
    let recipes: Vec<_> = wanted.iter().map(|&position| recipe(geometry, &positions, position)).collect();
    let mut by_position = vec![None; geometry.positions()];
    for survivor in survivors {
        by_position[survivor.position as usize] = Some(Cursor::new(&survivor.body));
    }
    let mut mixed = vec![vec![0u8; bytes]; wanted.len()];
    let mut at = 0;
    while at < bytes {
        let column = at..bytes.min(at + COLUMN_BYTES);
        for (recipe, out) in recipes.iter().zip(&mut mixed) {
            mix(recipe, &by_position, &mut out[column.clone()]);
        }
        for cursor in by_position.iter_mut().flatten() {
            cursor.skip(column.len());
        }
        at = column.end;
    }
    mixed.into_iter().map(Bytes::from).collect()
}

/// One column of one lost chunk, where the cursors stand. They stay there.
fn mix(recipe: &Recipe, survivors: &[Option<Cursor<'_>>], out: &mut [u8]) {
    for (number, &(position, log)) in recipe.steps.iter().enumerate() {
        let mut survivor = survivors[position as usize].clone().expect("a recipe names survivors only");
        if number == 0 {
            survivor.copy_to(out);
        } else {
            survivor.add_to(out);
        }
        if log != 0 {
            let (units, rest) = out.as_chunks_mut::<UNIT_BYTES>();
            assert!(rest.is_empty(), "columns of whole units");
            ENGINE.mul(units, log);
        }
    }
}

/// A body in one part; copied only where it has more.
fn whole(body: &[Bytes]) -> Bytes {
    match body {
        [whole] => whole.clone(),
        parts => parts.concat().into(),
    }
}
