//! An engine of the codec that needs no tables: the one for small files.
//!
//! Every engine of `reed-solomon-simd` begins with tables of all 65 536 elements of the field, 384 KiB
//! at least. To fill them takes longer than anything else in encoding a file of a few kilobytes.
//! Here an element is multiplied by what follows from it, some thousand instructions and 128 bytes
//! for each factor, and the code has fewer factors than shares.
//!
//! The field is GF(2^16) by the polynomial 0x1002D. Bytes hold an element by its coordinates in a
//! Cantor basis. In that basis the factors of the transform are plain numbers: halving a subspace
//! shifts coordinates by one.

use reed_solomon_simd::engine::{CANTOR_BASIS, Engine, GF_BITS, GfElement, ShardsRefMut, utils};

/// Computes each factor's products when it comes up.
pub(crate) struct Tableless;

impl Engine for Tableless {
    fn fft(
        &self,
        data: &mut ShardsRefMut<'_>,
        pos: usize,
        size: usize,
        truncated_size: usize,
        skew_delta: usize,
    ) {
        let mut dist = size / 2;
        while dist > 0 {
            for begin in (0..truncated_size).step_by(dist * 2) {
                let products = factor(begin + dist + skew_delta).map(Products::of);
                for index in begin..begin + dist {
                    let (first, second) = data.dist2_mut(pos + index, dist);
                    if let Some(products) = &products {
                        products.add_to(first, second);
                    }
                    utils::xor(second, first);
                }
            }
            dist /= 2;
        }
    }

    fn ifft(
        &self,
        data: &mut ShardsRefMut<'_>,
        pos: usize,
        size: usize,
        truncated_size: usize,
        skew_delta: usize,
    ) {
        let mut dist = 1;
        while dist < size {
            for begin in (0..truncated_size).step_by(dist * 2) {
                let products = factor(begin + dist + skew_delta).map(Products::of);
                for index in begin..begin + dist {
                    let (first, second) = data.dist2_mut(pos + index, dist);
                    utils::xor(second, first);
                    if let Some(products) = &products {
                        products.add_to(first, second);
                    }
                }
            }
            dist *= 2;
        }
    }

    fn mul(&self, x: &mut [[u8; 64]], log_m: GfElement) {
        let products = Products::of_polynomial(power(log_m));
        for chunk in x {
            let (low, high) = chunk.split_at_mut(32);
            for (low, high) in low.iter_mut().zip(high) {
                [*low, *high] = products.with(*low, *high);
            }
        }
    }
}

/// The factor of the butterfly at this place of the transform, counted from 1; `None` for 0.
fn factor(place: usize) -> Option<GfElement> {
    let factor = (place >> place.trailing_zeros()) ^ 1;
    let factor = GfElement::try_from(factor).expect("a transform has 65536 places");
    (factor != 0).then_some(factor)
}

/// The products of one factor with every four bits of another element.
struct Products([[GfElement; 16]; 4]);

impl Products {
    /// Of a factor in the Cantor basis.
    fn of(factor: GfElement) -> Self {
        Self::of_polynomial(sum(&CANTOR_BASIS, factor))
    }

    /// Of a factor as a polynomial.
    fn of_polynomial(factor: GfElement) -> Self {
        let of_bit = CANTOR_BASIS.map(|base| sum(&COORDINATES, product(factor, base)));
        let mut products = [[0; 16]; 4];
        for (products, of_bit) in products.iter_mut().zip(of_bit.chunks_exact(4)) {
            for (number, product) in products.iter_mut().enumerate() {
                for (bit, of_bit) in of_bit.iter().enumerate() {
                    *product ^= if number >> bit & 1 == 1 { *of_bit } else { 0 };
                }
            }
        }
        Self(products)
    }

    /// The product with an element, in bytes.
    fn with(&self, low: u8, high: u8) -> [u8; 2] {
        let Self([first, second, third, fourth]) = self;
        let product = first[usize::from(low & 15)]
            ^ second[usize::from(low >> 4)]
            ^ third[usize::from(high & 15)]
            ^ fourth[usize::from(high >> 4)];
        product.to_le_bytes()
    }

    /// Adds the products with each element of `factors` to `sums`. Of 64 bytes the first half are the
    /// low bytes of 32 elements, the second half their high bytes.
    fn add_to(&self, sums: &mut [[u8; 64]], factors: &[[u8; 64]]) {
        for (sums, factors) in sums.iter_mut().zip(factors) {
            let (sums_low, sums_high) = sums.split_at_mut(32);
            let (low, high) = factors.split_at(32);
            for index in 0..32 {
                let [product_low, product_high] = self.with(low[index], high[index]);
                sums_low[index] ^= product_low;
                sums_high[index] ^= product_high;
            }
        }
    }
}

/// The sum of those `parts` whose bits are set.
fn sum(parts: &[GfElement; GF_BITS], bits: GfElement) -> GfElement {
    let set = parts
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1);
    set.fold(0, |sum, (_, part)| sum ^ part)
}

/// The product of two polynomials.
fn product(mut factor: GfElement, other: GfElement) -> GfElement {
    let mut product = 0;
    for bit in 0..GF_BITS {
        if other >> bit & 1 == 1 {
            product ^= factor;
        }
        let carry = factor >> 15;
        factor = (factor << 1) ^ (carry * POLYNOMIAL);
    }
    product
}

/// The polynomial x to the power of `exponent`.
fn power(exponent: GfElement) -> GfElement {
    let mut power = 1;
    for bit in (0..GF_BITS).rev() {
        power = product(power, power);
        if exponent >> bit & 1 == 1 {
            power = product(power, 2);
        }
    }
    power
}

/// The field's polynomial without its highest term.
const POLYNOMIAL: GfElement = 0x2d;

/// The coordinates in the Cantor basis of each power of x.
const COORDINATES: [GfElement; GF_BITS] = coordinates();

/// Inverts the matrix that is the basis, by elimination.
const fn coordinates() -> [GfElement; GF_BITS] {
    let mut values = CANTOR_BASIS;
    let mut coordinates = [0; GF_BITS];
    let mut bit = 0;
    while bit < GF_BITS {
        coordinates[bit] = 1 << bit;
        bit += 1;
    }
    bit = 0;
    while bit < GF_BITS {
        let mut pivot = bit;
        while values[pivot] >> bit & 1 == 0 {
            pivot += 1;
        }
        (values[bit], values[pivot]) = (values[pivot], values[bit]);
        (coordinates[bit], coordinates[pivot]) = (coordinates[pivot], coordinates[bit]);
        let mut row = 0;
        while row < GF_BITS {
            if row != bit && values[row] >> bit & 1 == 1 {
                values[row] ^= values[bit];
                coordinates[row] ^= coordinates[bit];
            }
            row += 1;
        }
        bit += 1;
    }
    coordinates
}

#[cfg(test)]
mod tests {
    use reed_solomon_simd::engine::tables;
    use reed_solomon_simd::engine::{GF_MODULUS, Naive};

    use super::*;

    #[test]
    fn factors_are_those_of_the_tables() {
        let log = &tables::get_exp_log().log;
        for (index, expected) in tables::get_skew().iter().enumerate() {
            let found = factor(index + 1).map_or(GF_MODULUS, |factor| log[usize::from(factor)]);
            assert_eq!(found, *expected, "{index}");
        }
    }

    #[test]
    fn products_are_those_of_the_tables() {
        let naive = Naive::new();
        let elements: Vec<_> = (0..=GfElement::MAX).collect();
        let mut all: Vec<[u8; 64]> = Vec::new();
        for elements in elements.chunks_exact(32) {
            let mut chunk = [0; 64];
            for (index, element) in elements.iter().enumerate() {
                [chunk[index], chunk[index + 32]] = element.to_le_bytes();
            }
            all.push(chunk);
        }
        for log in (0..=GF_MODULUS).step_by(7710).chain([1, 2, 65_534]) {
            let (mut ours, mut theirs) = (all.clone(), all.clone());
            Tableless.mul(&mut ours, log);
            naive.mul(&mut theirs, log);
            assert!(ours == theirs, "{log}");
        }
    }

    // At every size of a transform that up to 256 shares need, and cut off everywhere.
    #[test]
    fn transforms_are_those_of_the_naive_engine() {
        let naive = Naive::new();
        for size in [1, 2, 4, 8, 16, 64, 256] {
            let data: Vec<[u8; 64]> = (0..size)
                .map(|index| {
                    let hash = blake3::hash(&[u8::try_from(index).unwrap()]);
                    let mut chunk = [0; 64];
                    chunk[..32].copy_from_slice(hash.as_bytes());
                    chunk[32..].copy_from_slice(hash.as_bytes());
                    chunk[32..].rotate_left(7);
                    chunk
                })
                .collect();
            let transform = |engine: &dyn Engine, cut, delta, is_inverse| {
                let mut data = data.clone();
                let mut shards = ShardsRefMut::new(size, 1, &mut data);
                match is_inverse {
                    true => engine.ifft(&mut shards, 0, size, cut, delta),
                    false => engine.fft(&mut shards, 0, size, cut, delta),
                }
                data
            };
            for cut in [1, size / 3, size - 1, size] {
                for (delta, is_inverse) in [(0, false), (size, false), (0, true), (3 * size, true)]
                {
                    let ours = transform(&Tableless, cut, delta, is_inverse);
                    let theirs = transform(&naive, cut, delta, is_inverse);
                    assert!(ours == theirs, "{size} {cut} {delta} {is_inverse}");
                }
            }
        }
    }
}
