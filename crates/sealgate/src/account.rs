//! Who is at the command line, for the audit log: the account the process runs as, not what the
//! environment says of it.

use std::fs;

use sealgate_core::authority::Caller;

/// Whoever runs this command.
pub fn caller() -> Caller {
    let uid = rustix::process::geteuid().as_raw();
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(uid, &accounts).map_or_else(|| format!("uid {uid}"), str::to_owned);
    Caller::command_line(&name)
}

/// The name of a user in a file of the form of `passwd(5)`.
fn name_of(uid: u32, accounts: &str) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n#\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name_of(0, accounts), Some("root"));
        assert_eq!(name_of(1000, accounts), Some("ada"));
        assert_eq!(name_of(1001, accounts), None);
    }
}
