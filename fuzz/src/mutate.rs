//! Small changes of bytes: what a fuzzer does between two runs.
//!
//! Deterministic: a seed and the inputs decide all. Knows no target.

/// Longest input, in bytes.
pub const INPUT_BYTES_MAX: usize = 16 << 10;

/// Most changes at once.
const CHANGES_MAX: usize = 5;

/// Values and words that programs treat in a way of their own.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\x0f",
    b"-1",
    b"0",
    b"9007199254740993",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"\\ud800",
    b"\r\n",
    b"\r\n\r\n",
    b"%",
    b"%00",
    b"%2f",
    b"/",
    b"//",
    b"{*x}",
    b"{x}",
    b"..",
    b"=",
    b"&",
    b"\xc3\x28",
    b"\xf4\x90\x80\x80",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"HEAD ",
    b"[[route]]\n",
    b"[limits]\n",
    b"=\"1s\"\n",
    b"(func",
    b"(memory 65536)",
    b"(export \"a\"",
    b"some(",
    b"nan",
    b"inf",
];

/// A source of numbers (xorshift).
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % limit.max(1)
    }
}

/// A changed copy of `input`; `other` is another input, to take pieces of.
#[must_use]
pub fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(CHANGES_MAX) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 if at < bytes.len() => {
                bytes[at] = bytes[at].wrapping_add(random.below(9) as u8).wrapping_sub(4)
            }
            3 if at < end => drop(bytes.drain(at..end)),
            4 if at < end => {
                let piece = bytes[at..end].to_vec();
                let times = 1 + random.below(4) * random.below(20);
                bytes.splice(at..at, piece.repeat(times));
            }
            5 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            6 => {
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = WORDS[random.below(WORDS.len())];
                let end = if random.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
                bytes.splice(at..end, word.iter().copied());
            }
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}
