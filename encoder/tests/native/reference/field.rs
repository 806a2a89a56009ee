//! The erasure code by its definition: polynomials over GF(2^16), evaluated one by one.

/// GF(2^16) with the polynomial x^16 + x^5 + x^3 + x^2 + 1, its elements written in a Cantor basis.
pub(crate) struct Field {
    /// For each element in the Cantor basis, its logarithm to the base x; none for 0.
    logs: Vec<Option<usize>>,
    /// For each logarithm, the element in the Cantor basis.
    powers: Vec<u16>,
}

const CANTOR_BASIS: [u16; 16] = [
    0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, //
    0x6c98, 0x10d8, 0x6a72, 0xb900, 0xfdb8, 0xfb34, 0xff38, 0x991e,
];

const ORDER: usize = 65_535;

impl Field {
    pub(crate) fn new() -> Self {
        let mut cantor = vec![0; 1 << 16];
        for element in 0..=u16::MAX {
            let bits = (0..16).filter(|bit| element >> bit & 1 == 1);
            let polynomial = bits.fold(0, |sum, bit| sum ^ CANTOR_BASIS[bit]);
            cantor[usize::from(polynomial)] = element;
        }
        let mut logs = vec![None; 1 << 16];
        let mut powers = Vec::new();
        let mut power = 1_usize;
        for log in 0..ORDER {
            powers.push(cantor[power]);
            logs[usize::from(cantor[power])] = Some(log);
            power <<= 1;
            if power >> 16 == 1 {
                power ^= 0x1_002d;
            }
        }
        assert_eq!(power, 1, "x generates the field");
        Self { logs, powers }
    }

    fn log(&self, element: usize) -> usize {
        self.logs[element].expect("not 0")
    }

    /// What primary block `column` is multiplied with to make secondary block `row`.
    pub(crate) fn coefficient(
        &self,
        (needed, total): (usize, usize),
        row: usize,
        column: usize,
    ) -> u16 {
        if needed == 1 {
            return 1;
        }
        let secondary_count = total - needed;
        let (a, b) = (
            needed.next_power_of_two(),
            secondary_count.next_power_of_two(),
        );
        let high_rate = a > b || (a == b && needed <= secondary_count);
        let (points, from, to) = if high_rate {
            let start = b * (1 + column / b);
            (start..start + b, b + column, row)
        } else {
            (0..a, column, a + row)
        };
        let others = points.filter(|other| *other != from);
        let log: usize = others
            .map(|other| self.log(to ^ other) + ORDER - self.log(from ^ other))
            .sum();
        self.powers[log % ORDER]
    }

    /// Adds a multiple of one block to another.
    pub(crate) fn add_product(&self, sum: &mut [u8], block: &[u8], coefficient: u16) {
        for (sum, chunk) in sum.chunks_mut(64).zip(block.chunks(64)) {
            let half = chunk.len() / 2;
            for index in 0..half {
                let symbol = u16::from_le_bytes([chunk[index], chunk[half + index]]);
                let product = match self.logs[usize::from(symbol)] {
                    Some(log) => {
                        let log = log + self.log(usize::from(coefficient));
                        self.powers[log % ORDER]
                    }
                    None => 0,
                };
                let [low, high] = product.to_le_bytes();
                sum[index] ^= low;
                sum[half + index] ^= high;
            }
        }
    }
}
