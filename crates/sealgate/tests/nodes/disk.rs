//! A database whose disk is slow, or full.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::cluster::{Cluster, PROMISE, at_last};
use super::outages::database_in;
use crate::postgres_server::PostgresServer;

#[test]
fn a_disk_too_slow_for_changes_refuses_them_and_keys_are_honoured_all_the_same() {
    let server = PostgresServer::shared();
    let url = server.database();
    let name = database_in(&url);
    let cluster = Cluster::start(&url);
    // Whoever writes to the log waits for as long as this says.
    server.sql(
        &name,
        "CREATE TABLE slowness (seconds double precision); \
         INSERT INTO slowness VALUES (0); \
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep(seconds) FROM slowness; RETURN NULL; END'; \
         CREATE TRIGGER slow AFTER INSERT ON audit FOR EACH STATEMENT EXECUTE FUNCTION wait()",
    );
    cluster.under_load(|| {
        let before = cluster.refused();
        server.sql(&name, "UPDATE slowness SET seconds = 60");
        // The statement is ended after ten seconds, those that wait for it sooner.
        at_last(|| (cluster.refused() >= before + 3).then_some(()));
        for node in &cluster.nodes {
            assert_eq!(node.asked(&cluster.admin), Some(200));
        }
        server.sql(&name, "UPDATE slowness SET seconds = 0");
    });
    cluster.must_be_whole();
}

#[test]
fn a_full_disk_refuses_changes_loses_none_and_is_written_again_once_there_is_room() {
    let disk = SmallDisk::mount();
    let server = PostgresServer::start();
    let location = disk.path();
    let location = location.display();
    server.sql(
        "postgres",
        &format!("CREATE TABLESPACE small LOCATION '{location}'"),
    );
    server.sql("postgres", "CREATE DATABASE small TABLESPACE small");
    let cluster = Cluster::start(&server.url("small"));
    cluster.under_load(|| {
        let before = cluster.refused();
        disk.fill();
        at_last(|| (cluster.refused() >= before + 3).then_some(()));
        std::thread::sleep(PROMISE);
        for node in &cluster.nodes {
            assert_eq!(node.asked(&cluster.admin), Some(200));
        }
        disk.make_room();
    });
    cluster.must_be_whole();
}

/// A file system of a few megabytes.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one that belongs to PostgreSQL.
    fn mount() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("permissions");
        let disk = Self(directory);
        fs::create_dir(disk.path()).expect("a directory");
        let options = "size=24m,mode=0700,uid=postgres";
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "sealgate-small"])
            .arg(disk.path())
            .output()
            .expect("mount, of Debian's package mount");
        let said = String::from_utf8_lossy(&mount.stderr);
        assert!(
            mount.status.success(),
            "this test mounts a file system, which takes root: {said}"
        );
        disk
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).expect("a file");
        while ballast.write_all(&[7; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).expect("the file is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmount = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
        if !unmount.is_ok_and(|status| status.success()) {
            println!("{} is left mounted", self.path().display());
        }
    }
}
