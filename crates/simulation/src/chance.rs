//! The one source of chance: everything in this process that asks the system for random bytes gets them from the seed of its thread.
//!
//! The keys of the standard library's hash maps, tokio's choices, UUIDs and the jitter of pauses all come from `getrandom`. A plan has
//! a thread of its own, so plans that run beside each other do not draw from one another.

use std::cell::Cell;

use ahash::random_state::RandomSource;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
    static HASHERS: Cell<usize> = const { Cell::new(0) };
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Numbers(u64);

/// Hash maps that ask this crate for their keys get them by turns of the thread.
struct Turns;

// === impl Numbers, impl Turns ===

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of so many.
    pub(crate) const fn below(&mut self, count: u64) -> u64 {
        if count == 0 { 0 } else { self.next() % count }
    }

    pub(crate) fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or_default();
        usize::try_from(self.below(count)).unwrap_or_default()
    }

    /// True in so many of a hundred.
    pub(crate) const fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl RandomSource for Turns {
    fn gen_hasher_seed(&self) -> usize {
        HASHERS.with(|turn| {
            turn.set(turn.get() + 1);
            turn.get()
        })
    }
}

/// Once for the process, before anything is played.
pub(crate) fn prepare() {
    // It is refused when it was done before.
    let _ = ahash::random_state::set_random_source(Turns);
    // What one process draws once is drawn here, from a thread without a seed.
    let _ = ahash::RandomState::new();
}

/// From now on chance in this thread follows from the seed.
pub(crate) fn seed(seed: u64) {
    STATE.with(|state| state.set(seed));
    HASHERS.with(|turn| turn.set(0));
    fastrand::seed(seed);
}

/// Stands in the place of the C library's function of this name, for the whole program. It never ships.
///
/// # Safety
/// As for the C library's: the buffer has to hold so many bytes.
#[allow(
    unsafe_code,
    reason = "the only way to the keys of the standard library's hash maps; docs/adr/0022"
)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _: u32) -> isize {
    STATE.with(|state| {
        let mut numbers = Numbers::new(state.get());
        for at in 0..length {
            let byte = u8::try_from(numbers.below(256)).unwrap_or_default();
            // SAFETY: the caller gave a buffer of this length.
            unsafe { buffer.add(at).write(byte) };
        }
        state.set(numbers.0);
    });
    isize::try_from(length).unwrap_or(isize::MAX)
}
