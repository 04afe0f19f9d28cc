//! Where the master key comes from, and what happens without it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Home, Ran};

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode is set");
}

#[test]
fn it_is_made_once_and_for_its_owner_alone() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let permissions = fs::metadata(home.master_key())
        .expect("a file")
        .permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let made = fs::read_to_string(home.master_key()).expect("text");
    assert_eq!(made.trim().len(), 64);
    let ran = home.run(&["create", "--name", "y"]).success();
    assert!(!ran.stderr.contains("master key"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(home.master_key()).expect("text"), made);
}

#[test]
fn one_that_others_can_read_is_refused_with_what_to_do() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    for mode in [0o640, 0o604, 0o644, 0o660] {
        set_mode(&home.master_key(), mode);
        home.run(&["list"])
            .failure(1, &format!("chmod 600 {}", home.master_key().display()));
    }
    set_mode(&home.master_key(), 0o400);
    home.run(&["list"]).success();
}

#[test]
fn a_lost_one_is_not_replaced_where_a_store_needs_it() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    fs::remove_file(home.master_key()).expect("it is there");
    home.run(&["list"]).failure(1, "master.key is missing");
    home.run(&["create", "--name", "y"])
        .failure(1, "master.key is missing");
    home.run(&["serve", "--listen", "127.0.0.1:0"])
        .failure(1, "master.key is missing");
    assert!(!home.master_key().exists());
}

#[test]
fn another_one_does_not_open_the_store() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let ran = Ran::of(home.command(&["list"]).env("SEALGATE_MASTER_KEY", HEX));
    ran.failure(1, "a store opens with the master key that it was made with");
}

#[test]
fn it_can_come_from_the_environment_a_file_or_a_credential() {
    let text = |home: &Home| home.write("key", &format!("{HEX}\n"));
    let home = Home::new();
    let create = |variable: &str, value: &str| {
        Ran::of(
            home.command(&["create", "--name", "x"])
                .env(variable, value),
        )
    };
    create("SEALGATE_MASTER_KEY", HEX).success();
    assert!(
        !home.master_key().exists(),
        "none is made where one is given"
    );

    let file = text(&home);
    set_mode(&file, 0o644);
    create("SEALGATE_MASTER_KEY_FILE", &file.display().to_string()).failure(1, "chmod 600");
    set_mode(&file, 0o600);
    create("SEALGATE_MASTER_KEY_FILE", &file.display().to_string()).success();
    create("SEALGATE_MASTER_KEY_FILE", "nowhere").failure(1, "nowhere");

    let credential = home.write("sealgate-master-key", HEX);
    set_mode(&credential, 0o440);
    create("CREDENTIALS_DIRECTORY", &home.here().display().to_string()).success();
    home.run(&["list"]).failure(1, "master.key is missing");
}

#[test]
fn what_is_no_master_key_is_refused_and_not_shown() {
    let home = Home::new();
    for wrong in ["hunter2", &HEX[1..], &HEX.replace('0', "g")] {
        let mut command = home.command(&["create", "--name", "x"]);
        let ran = Ran::of(command.env("SEALGATE_MASTER_KEY", wrong));
        let ran = ran.failure(1, "SEALGATE_MASTER_KEY does not hold a master key");
        assert!(!ran.stderr.contains(wrong), "{}", ran.stderr);
    }
}
