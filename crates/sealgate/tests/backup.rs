//! Backups of a store in use, and what comes back of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Key, Server};

const PASSPHRASE: &str = "correct horse battery staple";

/// A store with a few keys and a backup of it.
struct Backup {
    home: Home,
    admin: Key,
    passphrase: PathBuf,
    file: PathBuf,
    told: Value,
}

impl Backup {
    fn new() -> Self {
        let home = Home::new();
        let admin = home.create_key(&["--name", "Admin", "--admin"]);
        home.create_key(&["--name", "client"]);
        let passphrase = home.write("passphrase", &format!("{PASSPHRASE}\n"));
        let told = home.json(&[
            "backup",
            "--output",
            "store.age",
            "--passphrase-file",
            "passphrase",
        ]);
        Self {
            file: home.here().join("store.age"),
            home,
            admin,
            passphrase,
            told,
        }
    }

    /// What restores it.
    fn arguments(&self) -> [&str; 5] {
        [
            "restore",
            "--input",
            path(&self.file),
            "--passphrase-file",
            path(&self.passphrase),
        ]
    }

    /// A place with the master key and nothing else.
    fn other_place(&self) -> Home {
        let other = Home::new();
        fs::create_dir(other.data_dir()).expect("a data directory");
        fs::copy(self.home.master_key(), other.master_key()).expect("the key is copied");
        other
    }
}

#[test]
fn a_backup_made_while_a_server_writes_comes_back_whole() {
    let home = Home::new();
    let admin = home.create_key(&["--name", "Admin", "--admin"]);
    let passphrase = home.write("passphrase", PASSPHRASE);
    let server = Server::start(&home);
    let (made, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let told = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let new = server.post("/api/auth/keys").api_key(&admin.api_key);
                    new.json(&json!({"name": "client"})).send().expect(201);
                    made.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let before = wait_until(|| Some(made.load(Ordering::SeqCst)).filter(|made| *made > 5));
        let told = home.json(&[
            "backup",
            "--output",
            "store.age",
            "--passphrase-file",
            path(&passphrase),
        ]);
        let after = made.load(Ordering::SeqCst);
        is_over.store(true, Ordering::SeqCst);
        let keys = usize::try_from(told["keys"].as_u64().expect("a number")).expect("few");
        println!("{before} keys before, {keys} in the backup, {after} after");
        assert!(
            before < keys && keys <= after + 3 && after > before,
            "{told}"
        );
        told
    });
    drop(server);
    let file = home.here().join("store.age");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(told["encrypted_to"], "passphrase");
    let sealed = fs::read(&file).expect("the backup");
    assert_eq!(
        sealed.len() as u64,
        told["bytes"].as_u64().expect("a number")
    );
    assert!(!contains(&sealed, b"SQLite format") && !contains(&sealed, b"Admin"));
    nothing_is_left_in(&home.data_dir());

    let other = Home::new();
    fs::create_dir(other.data_dir()).expect("a data directory");
    fs::copy(home.master_key(), other.master_key()).expect("the key is copied");
    let restored = other.json(&[
        "restore",
        "--input",
        path(&file),
        "--passphrase-file",
        path(&passphrase),
    ]);
    for same in ["keys", "users", "audit_records", "last", "schema"] {
        assert_eq!(restored[same], told[same], "{same}");
    }
    assert_eq!(mode(&other.database()), 0o600);
    nothing_is_left_in(&other.data_dir());
    let last = told["last"].as_str().expect("a text");
    other.run(&["logs", "--verify", "--expect", last]).success();
    let server = Server::start(&other);
    let listed = server.get("/api/auth/keys").api_key(&admin.api_key).send();
    assert_eq!(listed.status, 200, "a key of the backup works");
}

#[test]
fn each_recipient_opens_a_backup_and_nobody_else() {
    let backup = Backup::new();
    let home = &backup.home;
    let identities: Vec<_> = (0..3).map(|_| age::x25519::Identity::generate()).collect();
    for (number, identity) in identities.iter().enumerate() {
        let secret = identity.to_string();
        let text = format!("# of a test\n{}\n", secret.expose_secret());
        home.write(&format!("identity-{number}"), &text);
    }
    let recipient = |number: usize| identities[number].to_public().to_string();
    home.write("team.txt", &format!("# us\n\n{}\n", recipient(1)));
    let first = recipient(0);
    let told = home.json(&[
        "backup",
        "--output",
        "team.age",
        "--recipient",
        &first,
        "--recipients-file",
        "team.txt",
    ]);
    assert_eq!(told["encrypted_to"], "recipients");
    let file = home.here().join("team.age");
    for number in 0..3 {
        let other = backup.other_place();
        let identity = home.here().join(format!("identity-{number}"));
        let arguments = [
            "restore",
            "--input",
            path(&file),
            "--identity-file",
            path(&identity),
        ];
        let ran = other.run(&arguments);
        if number < 2 {
            ran.success();
            other.run(&["logs", "--verify"]).success();
        } else {
            ran.failure(1, "none of the identities is that of a recipient");
            nothing_is_restored(&other);
        }
    }
    let other = backup.other_place();
    let identity = home.here().join("identity-0");
    other
        .run(&[
            "restore",
            "--input",
            path(&file),
            "--passphrase-file",
            path(&backup.passphrase),
        ])
        .failure(2, "encrypted to recipients");
    other
        .run(&[
            "restore",
            "--input",
            path(&backup.file),
            "--identity-file",
            path(&identity),
        ])
        .failure(2, "encrypted to a passphrase");
    for wrong in ["age1nonsense", "ssh-ed25519 AAAA"] {
        home.run(&["backup", "--output", "x.age", "--recipient", wrong])
            .failure(2, "is not one");
    }
    home.write("empty.txt", "# nobody\n");
    home.run(&[
        "backup",
        "--output",
        "x.age",
        "--recipients-file",
        "empty.txt",
    ])
    .failure(1, "there is no recipient in");
    assert!(!home.here().join("x.age").exists());
}

#[test]
fn the_age_command_opens_a_backup_and_what_it_encrypts_is_restored() {
    let backup = Backup::new();
    let here = backup.home.here();
    age("age-keygen", &["--output", "identity"], &here);
    let recipient = age("age-keygen", &["-y", "identity"], &here);
    let recipient = recipient.trim();
    backup
        .home
        .run(&["backup", "--output", "ours.age", "--recipient", recipient])
        .success();
    let open = [
        "--decrypt",
        "--identity",
        "identity",
        "--output",
        "plain",
        "ours.age",
    ];
    age("age", &open, &here);
    let plain = fs::read(here.join("plain")).expect("what age wrote");
    assert!(plain.starts_with(b"SQLite format 3\0"));

    let seal = ["--recipient", recipient, "--output", "theirs.age", "plain"];
    age("age", &seal, &here);
    let other = backup.other_place();
    let (input, identity) = (here.join("theirs.age"), here.join("identity"));
    let restored = other.json(&[
        "restore",
        "--input",
        path(&input),
        "--identity-file",
        path(&identity),
    ]);
    assert_eq!(restored["last"], backup.told["last"]);
    other.run(&["logs", "--verify"]).success();
}

/// What a command of Debian's package `age` prints.
fn age(program: &str, arguments: &[&str], here: &Path) -> String {
    let ran = std::process::Command::new(program)
        .args(arguments)
        .current_dir(here)
        .output()
        .expect("age is installed");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn a_backup_goes_through_a_pipe_both_ways() {
    let backup = Backup::new();
    let mut child = backup
        .home
        .command(&["backup", "--output", "-", "--unencrypted"]);
    let ran = child.output().expect("the program runs");
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.starts_with(b"SQLite format 3\0"));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("2 keys, 0 users"), "{said}");

    let other = backup.other_place();
    let mut restore = other.command(&["restore", "--input", "-"]);
    let mut restore = restore
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = restore.stdin.take().expect("its input is a pipe");
    stdin.write_all(&ran.stdout).expect("it reads");
    drop(stdin);
    assert!(restore.wait().expect("it ends").success());
    let listed = other.json(&["list"]);
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_backup_that_does_not_open_or_was_altered_restores_nothing() {
    let backup = Backup::new();
    let other = backup.other_place();
    let here = backup.home.here();
    let wrong = here.join("wrong");
    fs::write(&wrong, "another passphrase altogether\n").expect("a file");
    other
        .run(&[
            "restore",
            "--input",
            path(&backup.file),
            "--passphrase-file",
            path(&wrong),
        ])
        .failure(1, "the passphrase is not that of this backup");
    nothing_is_restored(&other);

    let whole = fs::read(&backup.file).expect("the backup");
    let body = whole.len() / 2;
    let altered = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        bytes
    };
    for (what, bytes, says) in [
        ("the middle", altered(body), "the backup is damaged"),
        ("the end", altered(whole.len() - 1), "the backup is damaged"),
        ("the work", altered(whole.len().min(60)), ""),
        (
            "half of it",
            whole[..body].to_vec(),
            "the backup is damaged",
        ),
        (
            "all but a byte",
            whole[..whole.len() - 1].to_vec(),
            "the backup is damaged",
        ),
        (
            "its beginning",
            whole[..40].to_vec(),
            "the backup is damaged",
        ),
        (
            "a chunk less",
            whole[..whole.len() - 65_552].to_vec(),
            "the backup is damaged",
        ),
        ("another file", b"{}".to_vec(), "is no backup"),
        ("nothing", Vec::new(), "is no backup"),
    ] {
        let file = here.join("altered");
        fs::write(&file, bytes).expect("a file");
        let passphrase = path(&backup.passphrase);
        println!("{what}");
        other
            .run(&[
                "restore",
                "--input",
                path(&file),
                "--passphrase-file",
                passphrase,
            ])
            .failure(1, says);
        nothing_is_restored(&other);
    }
    other.run(&backup.arguments()).success();
}

#[test]
fn a_plain_copy_that_was_altered_is_not_restored() {
    let backup = Backup::new();
    backup
        .home
        .json(&["backup", "--output", "plain.db", "--unencrypted"]);
    let file = backup.home.here().join("plain.db");
    let whole = fs::read(&file).expect("the backup");
    let other = backup.other_place();
    let place = position(&whole, b"store.created").expect("the log's first record");
    let mut altered = whole.clone();
    altered[place] = b'S';
    fs::write(&file, &altered).expect("a file");
    other
        .run(&["restore", "--input", path(&file)])
        .failure(1, "record 1");
    nothing_is_restored(&other);
    fs::write(&file, &whole[..whole.len() / 2]).expect("a file");
    other
        .run(&["restore", "--input", path(&file)])
        .failure(1, "damaged");
    nothing_is_restored(&other);
}

#[test]
fn a_store_that_is_there_is_never_replaced() {
    let backup = Backup::new();
    let before = fs::read(backup.home.database()).expect("the store");
    let refused = backup.home.run(&backup.arguments());
    refused.failure(1, "is there already");
    assert_eq!(fs::read(backup.home.database()).expect("the store"), before);
    backup.home.run(&["logs", "--verify"]).success();

    let other = backup.other_place();
    let left = other.data_dir().join("sealgate.db-wal");
    fs::write(&left, "of another store").expect("a file");
    other
        .run(&backup.arguments())
        .failure(1, "sealgate.db-wal is there already");
    fs::remove_file(left).expect("it is there");
    other.run(&backup.arguments()).success();
    other
        .run(&backup.arguments())
        .failure(1, "is there already");
}

#[test]
fn a_file_that_is_there_is_replaced_only_if_told_so() {
    let backup = Backup::new();
    let passphrase = path(&backup.passphrase);
    let again = [
        "backup",
        "--output",
        "store.age",
        "--passphrase-file",
        passphrase,
    ];
    let before = fs::read(&backup.file).expect("the backup");
    backup.home.run(&again).failure(1, "is there already");
    assert_eq!(fs::read(&backup.file).expect("the backup"), before);
    let told = backup
        .home
        .run(&[&again[..], &["--force", "--quiet"]].concat());
    assert_eq!(
        told.success().stdout.trim(),
        backup.told["last"].as_str().expect("a text")
    );
    assert_ne!(fs::read(&backup.file).expect("the backup"), before);
    nothing_is_left_in(&backup.home.data_dir());
    let names = fs::read_dir(backup.home.here())
        .expect("a directory")
        .count();
    assert_eq!(names, 2, "the passphrase and the backup");
}

#[test]
fn the_master_key_has_to_be_there_and_has_to_be_the_right_one() {
    let backup = Backup::new();
    let other = Home::new();
    other
        .run(&backup.arguments())
        .failure(1, "the master key is not there");
    assert!(!other.data_dir().exists());

    fs::create_dir(other.data_dir()).expect("a data directory");
    fs::write(other.master_key(), "7e".repeat(32)).expect("a key");
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(other.master_key(), private).expect("the key is closed");
    other.run(&backup.arguments()).failure(1, "master key");
    nothing_is_restored(&other);
    let sealed = fs::read(&backup.file).expect("the backup");
    assert!(!contains(&sealed, backup.admin.api_key.as_bytes()));
}

#[test]
fn a_passphrase_is_long_and_never_an_argument() {
    let home = Home::new();
    home.run(&["backup", "--output", "x.age"])
        .failure(1, "there is no store at");
    home.create_key(&["--name", "x"]);
    home.write("short", "tr0ub4dor&3\n");
    home.run(&["backup", "--output", "x.age", "--passphrase-file", "short"])
        .failure(1, "shorter than 12 characters");
    home.write("short", "\n");
    home.run(&["backup", "--output", "x.age", "--passphrase-file", "short"])
        .failure(1, "there is nothing in the first line");
    home.run(&["backup", "--output", "x.age"])
        .failure(2, "no terminal to ask for a passphrase on");
    home.run(&["backup", "--output", "x.age", "--passphrase", PASSPHRASE])
        .failure(2, "unexpected argument");
    assert!(!home.here().join("x.age").exists());
}

#[test]
fn a_backup_killed_in_the_middle_leaves_nothing_that_looks_like_one() {
    let backup = Backup::new();
    let mut child = backup
        .home
        .command(&["backup", "--output", "-", "--unencrypted"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It waits for a reader of the rest, with its copy beside the store.
    let mut stdout = child.stdout.take().expect("its output is a pipe");
    stdout.read_exact(&mut [0; 16]).expect("it writes");
    assert_eq!(unfinished(&backup.home.data_dir()), 1);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(unfinished(&backup.home.data_dir()), 1);
    backup.home.run(&["logs", "--verify"]).success();
    let passphrase = path(&backup.passphrase);
    let again = [
        "backup",
        "--output",
        "again.age",
        "--passphrase-file",
        passphrase,
    ];
    backup.home.run(&again).success();
    nothing_is_left_in(&backup.home.data_dir());
}

#[test]
fn a_restore_killed_in_the_middle_leaves_nothing_that_looks_like_a_store() {
    let backup = Backup::new();
    let other = backup.other_place();
    for signal in [Signal::KILL, Signal::TERM] {
        let passphrase = path(&backup.passphrase);
        let mut child = other
            .command(&["restore", "--input", "-", "--passphrase-file", passphrase])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        let whole = fs::read(&backup.file).expect("the backup");
        stdin
            .write_all(&whole[..whole.len() - 100])
            .expect("it reads");
        wait_until(|| (unfinished(&other.data_dir()) == 1).then_some(()));
        let id = i32::try_from(child.id()).ok();
        let id = id.and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("an id"), signal).expect("it runs");
        drop(stdin);
        assert!(!child.wait().expect("it ends").success());
        assert!(!other.database().exists());
        other.run(&["list"]).failure(1, "there is no store at");
        if signal == Signal::TERM {
            nothing_is_restored(&other);
        }
    }
    other.run(&backup.arguments()).success();
    nothing_is_left_in(&other.data_dir());
    other.run(&["logs", "--verify"]).success();
}

fn nothing_is_restored(place: &Home) {
    let names = names_in(&place.data_dir());
    assert_eq!(names, ["master.key"]);
}

fn nothing_is_left_in(directory: &Path) {
    let known = [
        "master.key",
        "sealgate.db",
        "sealgate.db-shm",
        "sealgate.db-wal",
    ];
    let left: Vec<String> = names_in(directory)
        .into_iter()
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn unfinished(directory: &Path) -> usize {
    let names = names_in(directory).into_iter();
    names
        .filter(|name| name.starts_with(".sealgate-unfinished-"))
        .count()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    position(bytes, part).is_some()
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn wait_until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..2_000 {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to that");
}
