//! A client of Sealgate.
