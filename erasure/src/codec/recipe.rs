//! How a lost chunk is mixed from k others: worked out by linear algebra, once for each pattern of losses.
//!
//! Every chunk of a stripe is a weighted sum of its k data chunks: a data chunk of itself alone, a parity chunk with
//! the weights that the encoder shows when it codes a single one in an otherwise empty stripe. Any k chunks determine
//! all others, so a lost one is a weighted sum of any k that are left, and the weights follow from the inverse of a k by
//! k matrix. That is all that decoding needs: no transform, and lost parity is no different from lost data.
//!
//! The field is that of reed-solomon-simd: 2^16 elements, addition is exclusive or, multiplication goes by logarithms.
//! In a run of 64 bytes, element n has its low byte at n and its high byte at n + 32.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_core::Geometry;
use reed_solomon_simd::engine::tables::{self, ExpLog};
use reed_solomon_simd::engine::{GF_MODULUS, GfElement};

/// The bytes of one indivisible run.
const UNIT_BYTES: usize = 64;

/// Recipes kept. Each is at most some 100 bytes; one drive that is down needs as many as there are geometries times
/// positions, so this is only reached by many losses at once, and working one out anew takes microseconds.
const RECIPES_MAX: usize = 4096;

/// How to mix one lost chunk: begin with the first ingredient; before each further one multiply what is there; multiply
/// once more at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    /// The survivors that have a weight other than zero, and the logarithm of what the sum so far is multiplied by
    /// once that survivor is in it. 0 is the logarithm of one.
    pub(super) steps: Vec<(u8, GfElement)>,
}

#[derive(PartialEq, Eq, Hash)]
struct Pattern {
    geometry: Geometry,
    survivors: u32,
    wanted: u8,
}

static RECIPES: Mutex<Option<HashMap<Pattern, Arc<Recipe>>>> = Mutex::new(None);

/// The recipe for `wanted` out of exactly k distinct survivors, in ascending order; its steps name them by position.
pub(super) fn recipe(geometry: Geometry, survivors: &[u8], wanted: u8) -> Arc<Recipe> {
    let pattern = Pattern { geometry, survivors: survivors.iter().fold(0, |set, at| set | 1 << at), wanted };
    if let Some(found) = recipes().get_or_insert_default().get(&pattern) {
        return found.clone();
    }
    // Not under the lock: two who miss at once work out the same.
    let worked_out = Arc::new(work_out(geometry, survivors, wanted));
    let mut recipes = recipes();
    let recipes = recipes.get_or_insert_default();
    if recipes.len() >= RECIPES_MAX {
        recipes.clear();
    }
    recipes.insert(pattern, worked_out.clone());
    worked_out
}

fn recipes() -> MutexGuard<'static, Option<HashMap<Pattern, Arc<Recipe>>>> {
    RECIPES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work_out(geometry: Geometry, survivors: &[u8], wanted: u8) -> Recipe {
    let field = Field::new();
    let rows = rows_of(geometry);
    let matrix: Vec<Vec<GfElement>> = survivors.iter().map(|&at| rows[at as usize].clone()).collect();
    let inverse = field.inverse(matrix);
    // What is wanted is `row * data`, and the data is `inverse * survivors`.
    let weights = (0..survivors.len()).map(|column| {
        let terms = rows[wanted as usize].iter().zip(&inverse);
        terms.fold(0, |sum, (&element, row)| sum ^ field.product(element, row[column]))
    });
    let mut weighted: Vec<(u8, GfElement)> =
        survivors.iter().zip(weights).filter(|(_, weight)| *weight != 0).map(|(&at, w)| (at, field.log(w))).collect();
    // Neighbours of equal weight need no multiplication between them; where all weights are one, none is left.
    weighted.sort_by_key(|&(at, log)| (log, at));
    // a*w + b*v + c*u is ((a * w/v + b) * v/u + c) * u.
    let following = weighted.iter().skip(1).map(|&(_, log)| log).chain([0]);
    let steps = weighted.iter().zip(following).map(|(&(at, log), next)| (at, field.quotient_log(log, next))).collect();
    Recipe { steps }
}

/// The weights of the data chunks in each chunk, position by position: k rows of the unit matrix, and m that the
/// encoder shows.
fn rows_of(geometry: Geometry) -> Vec<Vec<GfElement>> {
    let (k, m) = (geometry.k(), geometry.m());
    let mut rows = vec![vec![0; k]; k + m];
    for data in 0..k {
        rows[data][data] = 1;
        let mut shards = vec![[0u8; UNIT_BYTES]; k];
        shards[data][0] = 1;
        let parity = reed_solomon_simd::encode(k, m, &shards).expect("every geometry is within the code's bounds");
        for (row, shard) in rows[k..].iter_mut().zip(parity) {
            row[data] = GfElement::from_le_bytes([shard[0], shard[UNIT_BYTES / 2]]);
        }
    }
    rows
}

/// Arithmetic on single elements, for matrices. Bytes by the million go through the vector engine.
struct Field(&'static ExpLog);

impl Field {
    fn new() -> Self {
        Self(tables::get_exp_log())
    }

    fn log(&self, element: GfElement) -> GfElement {
        assert!(element != 0, "zero has no logarithm");
        self.0.log[element as usize]
    }

    fn product(&self, a: GfElement, b: GfElement) -> GfElement {
        if b == 0 { 0 } else { tables::mul(a, self.log(b), &self.0.exp, &self.0.log) }
    }

    /// The logarithm of a quotient, from logarithms.
    fn quotient_log(&self, dividend: GfElement, divisor: GfElement) -> GfElement {
        let modulus = u32::from(GF_MODULUS);
        ((u32::from(dividend) + modulus - u32::from(divisor)) % modulus) as GfElement
    }

    fn reciprocal(&self, element: GfElement) -> GfElement {
        self.0.exp[self.quotient_log(0, self.log(element)) as usize]
    }

    /// The inverse of a square matrix, by Gauss and Jordan.
    fn inverse(&self, mut matrix: Vec<Vec<GfElement>>) -> Vec<Vec<GfElement>> {
        let size = matrix.len();
        let mut inverse: Vec<Vec<GfElement>> =
            (0..size).map(|at| (0..size).map(|column| GfElement::from(at == column)).collect()).collect();
        for at in 0..size {
            let pivot = (at..size)
                .find(|&row| matrix[row][at] != 0)
                .expect("any k chunks determine the data: that is what the code is for");
            matrix.swap(at, pivot);
            inverse.swap(at, pivot);
            let scale = self.reciprocal(matrix[at][at]);
            for element in matrix[at].iter_mut().chain(&mut inverse[at]) {
                *element = self.product(*element, scale);
            }
            let (matrix_row, inverse_row) = (matrix[at].clone(), inverse[at].clone());
            for row in (0..size).filter(|&row| row != at) {
                let factor = matrix[row][at];
                if factor != 0 {
                    self.subtract(&mut matrix[row], &matrix_row, factor);
                    self.subtract(&mut inverse[row], &inverse_row, factor);
                }
            }
        }
        inverse
    }

    fn subtract(&self, from: &mut [GfElement], row: &[GfElement], factor: GfElement) {
        for (element, &other) in from.iter_mut().zip(row) {
            *element ^= self.product(other, factor);
        }
    }
}
