//! What one thread needs to hash passwords: memory that it keeps from one hash to the next, and the
//! hash that stands for a user who does not exist.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::Verdict;
use super::phc::{HashingCost, OUTPUT_LENGTH, PasswordHash, SALT_LENGTH};
use crate::secret::SecretText;

/// Hashes one password at a time.
pub(super) struct Desk {
    cost: HashingCost,
    nobodys: PasswordHash,
    memory: Memory,
}

impl Desk {
    pub(super) fn new(cost: HashingCost, nobodys: PasswordHash) -> Self {
        Self {
            cost,
            nobodys,
            memory: Memory::default(),
        }
    }

    pub(super) fn hash(
        &mut self,
        password: &SecretText,
        salt: &[u8; SALT_LENGTH],
    ) -> Result<PasswordHash, NoMemory> {
        let output = self.output(self.cost, password, salt, OUTPUT_LENGTH)?;
        Ok(PasswordHash::assemble(self.cost, salt, &output))
    }

    pub(super) fn verify(
        &mut self,
        password: &SecretText,
        stored: Option<&PasswordHash>,
    ) -> Result<Verdict, NoMemory> {
        let nobodys = self.nobodys.clone();
        let against = stored.unwrap_or(&nobodys);
        let length = against.output().len();
        let output = self.output(against.cost(), password, against.salt(), length)?;
        let matches = bool::from(output.ct_eq(against.output())) && stored.is_some();
        if !matches {
            // A no must not come sooner because the hash is an old and cheap one.
            for rest in self.cost.left_after(against.cost()) {
                self.output(rest, password, nobodys.salt(), OUTPUT_LENGTH)?;
            }
        }
        self.memory.shrink_to(self.cost);
        Ok(Verdict {
            matches,
            needs_rehash: matches && self.cost.is_more_than(against.cost()),
        })
    }

    fn output(
        &mut self,
        cost: HashingCost,
        password: &SecretText,
        salt: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, NoMemory> {
        let mut output = Zeroizing::new(vec![0; length]);
        self.memory
            .fill(cost, password.expose().as_bytes(), salt, &mut output)?;
        Ok(output)
    }
}

/// There was not enough memory for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMemory;

/// The blocks that a hash fills: all zero between two hashes.
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
    /// Blocks filled so far, in all passes.
    #[cfg(test)]
    filled: u64,
}

impl Memory {
    fn fill(
        &mut self,
        cost: HashingCost,
        password: &[u8],
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), NoMemory> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(output.len()))
            .expect("a cost and a length within bounds");
        let blocks = self.make_room(params.block_count())?;
        let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password, salt, output, &mut *blocks);
        blocks.iter_mut().for_each(Zeroize::zeroize);
        result.expect("the lengths of password, salt and output are within Argon2's bounds");
        #[cfg(test)]
        {
            self.filled += cost.work();
        }
        Ok(())
    }

    fn make_room(&mut self, blocks: usize) -> Result<&mut [Block], NoMemory> {
        let more = blocks.saturating_sub(self.blocks.len());
        self.blocks.try_reserve_exact(more).map_err(|_| NoMemory)?;
        if more > 0 {
            self.blocks.resize(blocks, Block::new());
        }
        Ok(&mut self.blocks[..blocks])
    }

    /// Gives back what only a hash of a higher cost needed.
    fn shrink_to(&mut self, cost: HashingCost) {
        let blocks = usize::try_from(cost.memory_kib).unwrap_or(usize::MAX);
        self.blocks.truncate(blocks);
        self.blocks.shrink_to(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: HashingCost = HashingCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn desk(cost: HashingCost) -> Desk {
        Desk::new(cost, PasswordHash::assemble(cost, &[7; 16], &[7; 32]))
    }

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    /// Vectors of the reference implementation, `phc-winner-argon2/src/test.c`.
    #[test]
    fn the_reference_implementations_hashes_match() {
        for (password, hash) in [
            (
                "password",
                "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            ),
            (
                "password",
                "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            ),
        ] {
            let stored = PasswordHash::parse(hash).unwrap();
            let mut desk = desk(TINY);
            assert!(
                desk.verify(&secret(password), Some(&stored))
                    .unwrap()
                    .matches
            );
            let almost = secret("passwore");
            assert!(!desk.verify(&almost, Some(&stored)).unwrap().matches);
        }
    }

    #[test]
    fn a_no_costs_the_same_whether_the_user_is_unknown_or_has_a_cheap_hash() {
        let cost = HashingCost {
            memory_kib: 64,
            passes: 3,
            lanes: 1,
        };
        let mut unknown = desk(cost);
        unknown.verify(&secret("guess"), None).unwrap();
        for (memory_kib, passes) in [(64, 3), (64, 1), (8, 1), (32, 3), (24, 2)] {
            let cheap = HashingCost {
                memory_kib,
                passes,
                lanes: 1,
            };
            let stored = desk(cheap).hash(&secret("password"), &[1; 16]).unwrap();
            let mut known = desk(cost);
            known.verify(&secret("guess"), Some(&stored)).unwrap();
            assert_eq!(known.memory.filled, unknown.memory.filled, "{cheap:?}");
        }
    }

    #[test]
    fn a_hash_of_nobody_never_matches_not_even_by_its_own_password() {
        let mut desk = desk(TINY);
        desk.nobodys = desk.hash(&secret("password"), &[1; 16]).unwrap();
        assert!(!desk.verify(&secret("password"), None).unwrap().matches);
    }

    #[test]
    fn memory_is_zero_and_no_larger_than_the_cost_asks_after_a_hash() {
        let dear = HashingCost {
            memory_kib: 256,
            ..TINY
        };
        let stored = desk(dear).hash(&secret("password"), &[1; 16]).unwrap();
        let mut desk = desk(TINY);
        assert!(
            desk.verify(&secret("password"), Some(&stored))
                .unwrap()
                .matches
        );
        assert_eq!(desk.memory.blocks.len(), 8);
        assert!(desk.memory.blocks.capacity() < 256);
        let words = desk.memory.blocks.iter().flat_map(AsRef::as_ref);
        assert!(words.copied().all(|word: u64| word == 0));
    }

    #[test]
    fn memory_that_cannot_be_had_is_told() {
        assert!(Memory::default().make_room(usize::MAX / 2).is_err());
    }
}
