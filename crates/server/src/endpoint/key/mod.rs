//! Administration of managed keys. Every endpoint here wants an administrator's credential.

pub(super) mod create;
pub(super) mod list;
pub(super) mod logs;
pub(super) mod revoke;
pub(super) mod rotate;
pub(super) mod show;
pub(super) mod update;
