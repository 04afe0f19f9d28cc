//! Network namespaces that are joined by cables, which can be pulled. To make them takes root and
//! iproute2; without them the test fails.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network of its own, gone with this value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one with nothing but a loopback interface.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealgate-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Lays a cable to another. This one has the address ending in 1 in the network of that number, the
    /// other one that ending in 2.
    pub fn join(&self, other: &Self, number: usize) {
        let cable = format!("cable{number}");
        ip(&[
            "link",
            "add",
            &cable,
            "netns",
            &self.name,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            &other.name,
        ]);
        let ends = [(self, &*cable, 1), (other, "cable", 2)];
        for (end, device, last) in ends {
            let address = format!("10.213.{number}.{last}/24");
            end.ip(&["address", "add", &address, "dev", device]);
            end.ip(&["link", "set", device, "up"]);
        }
    }

    /// Pulls the cable of that number out, here: what is sent from the other end is lost.
    pub fn pull_out(&self, number: usize) {
        self.ip(&["link", "set", &format!("cable{number}"), "down"]);
    }

    /// Puts it back.
    pub fn put_back(&self, number: usize) {
        self.ip(&["link", "set", &format!("cable{number}"), "up"]);
    }

    /// Does something in it, and starts processes in it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        let link = File::open(path).expect("the namespace is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("to enter a network namespace takes root");
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn ip(&self, arguments: &[&str]) {
        ip(&[&["-netns", &*self.name], arguments].concat());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let delete = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        if !delete.is_ok_and(|status| status.success()) {
            println!("the network namespace {} is left", self.name);
        }
    }
}

fn ip(arguments: &[&str]) {
    let ran = Command::new("ip").args(arguments).output();
    let ran = ran.expect("this test makes network namespaces with ip: apt-get install iproute2");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "ip {arguments:?}, which takes root: {said}"
    );
}
