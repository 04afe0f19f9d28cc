//! Encrypted columns: AES-256-GCM-SIV under data encryption keys, which the store keeps wrapped by
//! the master key.
//!
//! A value is the four-byte number of its key, then nonce, ciphertext and tag. It is bound to its
//! table, column and row, so that one moved elsewhere does not open; and to what else the row says,
//! where that must not be changed behind the store's back.

use std::fmt;
use std::sync::Arc;

use sealgate_core::master::MasterKey;
use sealgate_core::random::{Random, array};
use sealgate_core::secret::Secret;
use sealgate_core::store::StoreError;
use sealgate_token::seal::SealingKey;
use zeroize::Zeroizing;

/// Where an encrypted value stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table, in lower case and underscores.
    pub table: &'static str,
    /// The column, in lower case and underscores.
    pub column: &'static str,
    /// The row's primary key, as text.
    pub row: &'a str,
    /// What else of the row the value vouches for; may be empty.
    pub vouches: &'a [u8],
}

impl Place<'_> {
    /// What the value is bound to. A name, a column and a primary key hold no line break, so no two
    /// places are the same bytes.
    fn associated_data(&self) -> Vec<u8> {
        let mut data = format!("{self}\n").into_bytes();
        data.extend_from_slice(self.vouches);
        data
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table, column, row, ..
        } = self;
        write!(f, "{table}.{column}:{row}")
    }
}

/// What a value vouches for: fields one after the other, each behind its length, so that no two rows
/// of fields are the same bytes.
#[derive(Default)]
pub struct Fields(pub Vec<u8>);

impl Fields {
    /// The length of what is absent; no field is as long.
    const ABSENT: [u8; 4] = u32::MAX.to_be_bytes();

    /// Adds a field.
    pub fn push(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        let length = u32::try_from(field.len()).expect("a field has under 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
    }

    /// Adds a field that may be absent.
    pub fn push_or_not(&mut self, field: Option<impl AsRef<[u8]>>) {
        match field {
            Some(field) => self.push(field),
            None => self.0.extend_from_slice(&Self::ABSENT),
        }
    }
}

/// Encrypts column values under the newest data encryption key and decrypts under any.
pub struct ColumnCipher {
    /// Newest first, never empty.
    keys: Vec<(u32, SealingKey)>,
    random: Arc<dyn Random>,
}

impl ColumnCipher {
    /// Unwraps the data encryption keys of a store, given newest first.
    ///
    /// # Errors
    /// If there is none, or the master key is not the one they were wrapped by.
    pub fn unwrap(
        master: &MasterKey,
        wrapped: &[WrappedKey],
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        if wrapped.is_empty() {
            return Err(StoreError::Unreadable(
                "its data encryption key is missing".to_owned(),
            ));
        }
        let wrapping = SealingKey::new(master.wrapping_key().expose());
        let keys = wrapped
            .iter()
            .map(|key| Ok((key.id, key.unwrap(&wrapping)?)));
        Ok(Self {
            keys: keys.collect::<Result<_, StoreError>>()?,
            random,
        })
    }

    /// Encrypts a value for its place.
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        let (id, key) = &self.keys[0];
        let sealed = key.seal(array(&*self.random), &place.associated_data(), plaintext);
        [&id.to_be_bytes(), sealed.as_slice()].concat()
    }

    /// Decrypts a value found at its place.
    ///
    /// # Errors
    /// If it was encrypted for another place or by a key that is not known, or was changed.
    pub fn open(&self, place: Place<'_>, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let refused = |why| StoreError::Unreadable(format!("{place} {why}"));
        let (id, sealed) = value
            .split_first_chunk()
            .ok_or_else(|| refused("is cut off"))?;
        let id = u32::from_be_bytes(*id);
        let (_, key) = (self.keys.iter().find(|(known, _)| *known == id))
            .ok_or_else(|| refused("is encrypted under an unknown key"))?;
        key.open(&place.associated_data(), sealed)
            .map_err(|_| refused("was altered, or what it vouches for, or moved there"))
    }

    /// Decrypts a value of known length found at its place.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if it has another length.
    pub fn open_secret<const N: usize>(
        &self,
        place: Place<'_>,
        value: &[u8],
    ) -> Result<Secret<N>, StoreError> {
        let plaintext = self.open(place, value)?;
        let bytes = plaintext.as_slice().try_into().map(Secret::new);
        bytes.map_err(|_| StoreError::Unreadable(format!("{place} has the wrong length")))
    }
}

/// A data encryption key as the store keeps it.
pub struct WrappedKey {
    /// Its number; the highest is the newest.
    pub id: u32,
    /// The key, encrypted under the master key's wrapping key.
    pub wrapped: Vec<u8>,
}

impl WrappedKey {
    /// Draws a new key and wraps it.
    pub fn generate(id: u32, master: &MasterKey, random: &dyn Random) -> Self {
        let key = Secret::<32>::random(random);
        let wrapping = SealingKey::new(master.wrapping_key().expose());
        let wrapped = wrapping.seal(array(random), Self::place(id).as_bytes(), key.expose());
        Self { id, wrapped }
    }

    fn unwrap(&self, wrapping: &SealingKey) -> Result<SealingKey, StoreError> {
        let opened = wrapping.open(Self::place(self.id).as_bytes(), &self.wrapped);
        let key = opened
            .ok()
            .and_then(|key| key.as_slice().try_into().map(Secret::new).ok());
        key.map(|key: Secret<32>| SealingKey::new(key.expose())).ok_or_else(|| {
            let why = "this master key does not belong to this store (or its data encryption key \
                       was altered)";
            StoreError::Unreadable(why.to_owned())
        })
    }

    fn place(id: u32) -> String {
        let row = &id.to_string();
        Place {
            table: "data_encryption_key",
            column: "wrapped",
            row,
            vouches: b"",
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealgate_core::random::SeededRandom;

    const HERE: Place<'static> = Place {
        table: "api_key",
        column: "token_secret",
        row: "a",
        vouches: b"x",
    };

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(Secret::new([byte; 32]))
    }

    fn wrapped(id: u32) -> WrappedKey {
        WrappedKey::generate(id, &master(1), &SeededRandom::new(u64::from(id)))
    }

    fn cipher(keys: &[WrappedKey]) -> ColumnCipher {
        ColumnCipher::unwrap(&master(1), keys, Arc::new(SeededRandom::new(9))).unwrap()
    }

    #[test]
    fn a_value_opens_at_its_place_alone() {
        let cipher = cipher(&[wrapped(1)]);
        let value = cipher.seal(HERE, b"secret");
        assert_eq!(*cipher.open(HERE, &value).unwrap(), b"secret");
        for elsewhere in [
            Place { row: "b", ..HERE },
            Place {
                table: "signing_key",
                ..HERE
            },
            Place {
                column: "hash",
                ..HERE
            },
            Place {
                vouches: b"y",
                ..HERE
            },
        ] {
            assert!(cipher.open(elsewhere, &value).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_an_error() {
        let cipher = cipher(&[wrapped(1)]);
        let value = cipher.seal(HERE, b"secret");
        for length in 0..value.len() {
            assert!(cipher.open(HERE, &value[..length]).is_err(), "{length}");
        }
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 1;
            assert!(cipher.open(HERE, &flipped).is_err(), "{at}");
        }
    }

    #[test]
    fn the_newest_key_encrypts_and_any_decrypts() {
        let old = cipher(&[wrapped(1)]).seal(HERE, b"old");
        let both = cipher(&[wrapped(2), wrapped(1)]);
        assert_eq!(*both.open(HERE, &old).unwrap(), b"old");
        assert_eq!(both.seal(HERE, b"new")[..4], 2_u32.to_be_bytes());
        assert!(cipher(&[wrapped(2)]).open(HERE, &old).is_err());
    }

    #[test]
    fn keys_unwrap_under_their_master_key_and_number_alone() {
        let random = || Arc::new(SeededRandom::new(9));
        let renumbered = WrappedKey {
            id: 2,
            ..wrapped(1)
        };
        for (master, key) in [(master(2), wrapped(1)), (master(1), renumbered)] {
            let refusal = ColumnCipher::unwrap(&master, &[key], random())
                .err()
                .unwrap();
            assert!(
                refusal
                    .to_string()
                    .contains("does not belong to this store"),
                "{refusal}"
            );
        }
        assert!(ColumnCipher::unwrap(&master(1), &[], random()).is_err());
    }

    #[test]
    fn a_secret_of_another_length_is_refused() {
        let cipher = cipher(&[wrapped(1)]);
        let value = cipher.seal(HERE, b"short");
        assert!(cipher.open_secret::<32>(HERE, &value).is_err());
    }
}
