//! master_key
