//! Texts, packed: each written as what differs from another one that is like it (docs/adr/0028).

use std::sync::Arc;

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

/// The longest text that others are written by: each packing reads all of it.
const PATTERN_BYTES_MAX: usize = 8192;

/// Packs texts by the first one that is like most.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    pattern: Option<Arc<[u8]>>,
}

/// A text, packed. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    text: Arc<[u8]>,
    pattern: Option<Arc<[u8]>>,
}

// === impl Packer ===

impl Packer {
    /// Packs a text; a typical one is what later ones are written by.
    pub(crate) fn pack(&mut self, text: Vec<u8>, is_typical: bool) -> Packed {
        let pattern = self.pattern.clone();
        let packed = compress_prepend_size_with_dict(&text, pattern.as_deref().unwrap_or_default());
        if is_typical && text.len() <= PATTERN_BYTES_MAX {
            self.pattern.get_or_insert_with(|| text.into());
        }
        Packed {
            text: packed.into(),
            pattern,
        }
    }
}

// === impl Packed ===

impl Packed {
    /// The text, as it was.
    pub(crate) fn unpack(&self) -> Option<Vec<u8>> {
        decompress_size_prepended_with_dict(&self.text, self.pattern.as_deref().unwrap_or_default()).ok()
    }

    /// Whether it is the same one, and not only one of the same text.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
    }

    /// How many bytes it takes.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may write one text must not make all others' packing slow by a long one.
    #[test]
    fn a_long_text_is_nothing_that_others_are_written_by() {
        let mut packer = Packer::default();
        let long: Vec<u8> = (0..=PATTERN_BYTES_MAX).map(|n| n.to_le_bytes()[0]).collect();
        assert_eq!(packer.pack(long.clone(), true).unpack(), Some(long));
        assert!(packer.pattern.is_none());
    }

    #[test]
    fn a_text_that_is_like_one_before_takes_a_fraction_of_it() {
        let mut packer = Packer::default();
        let text = |n: u32| -> Vec<u8> {
            (0..200)
                .flat_map(|word| format!("{}-{n} ", word * 7919).into_bytes())
                .collect()
        };
        packer.pack(text(1), false);
        let before = packer.pack(text(2), true).len();
        let kept = packer.pack(text(2), true);
        assert!(kept.len() * 10 < before, "{} of {before} bytes", kept.len());
        assert_eq!(kept.unpack(), Some(text(2)));
    }
}
