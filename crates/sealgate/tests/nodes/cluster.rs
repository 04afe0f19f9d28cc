//! Nodes, a load on them, and what has to hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::namespace::Namespace;
use crate::postgres_server::PASSWORD;
use crate::redis_server;
use crate::support::{Home, Key, Ran, Server, Stopwatch};

/// After so long a revocation counts everywhere.
pub const PROMISE: Duration = Duration::from_secs(1);
/// How long anything may take to come back by itself.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// The nodes, unless a test says otherwise.
const NODES: usize = 3;

/// What a node is started with.
pub struct Plan {
    /// Where the database is, as this node sees it.
    pub url: String,
    /// Where on the network the node is, if not where everybody is.
    pub namespace: Option<Namespace>,
    /// Variables of its own.
    pub variables: Vec<(&'static str, String)>,
}

impl Plan {
    /// A node like all others.
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            namespace: None,
            variables: Vec::new(),
        }
    }
}

/// One of the nodes.
pub struct Node {
    pub server: Server,
    home: Home,
    plan: Plan,
}

impl Node {
    fn start(plan: Plan, master_key: &Path) -> Self {
        let home = Home::new();
        let server = within(&plan, || {
            Server::start_with(&home, |command| join(command, &plan, master_key))
        });
        Self { server, home, plan }
    }

    /// Does something where the node is on the network.
    pub fn here<T: Send>(&self, work: impl FnOnce(&Server) -> T + Send) -> T {
        within(&self.plan, || work(&self.server))
    }

    /// The status with which a key is answered; nothing if there is no answer.
    pub fn asked(&self, key: &Key) -> Option<u16> {
        let ask = |server: &Server| {
            let verify = server.get("/api/auth/verify");
            Some(verify.api_key(&key.api_key).try_send()?.status)
        };
        self.here(ask)
    }

    /// Asks until a key is answered with a status; gives how long that took.
    #[track_caller]
    pub fn comes_to_answer(&self, key: &Key, status: u16) -> Duration {
        let since = Stopwatch::start();
        loop {
            let answered = self.asked(key);
            if answered == Some(status) {
                return since.elapsed();
            }
            assert!(since.elapsed() < PATIENCE, "still {answered:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn within<T: Send>(plan: &Plan, work: impl FnOnce() -> T + Send) -> T {
    match &plan.namespace {
        Some(namespace) => namespace.within(work),
        None => work(),
    }
}

fn join(command: &mut Command, plan: &Plan, master_key: &Path) {
    command
        .env("SEALGATE_DATABASE_URL", &plan.url)
        .env("SEALGATE_MASTER_KEY_FILE", master_key)
        .env_remove("SEALGATE_STORE_MAX_STALENESS_MS")
        .envs(plan.variables.iter().map(|(name, value)| (name, value)));
}

/// What a key was last told to be, by an answer that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Created,
    Revoked,
}

/// Nodes on one database, and what they have acknowledged.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub admin: Key,
    master_key: PathBuf,
    _shared: Home,
    told: Mutex<BTreeMap<String, Told>>,
    /// What was revoked, and when the answer had arrived, on this watch.
    revoked: Mutex<Vec<(Key, Duration)>>,
    watch: Stopwatch,
    refused: AtomicUsize,
}

impl Cluster {
    /// Starts nodes on a database.
    pub fn start(url: &str) -> Self {
        Self::start_as((0..NODES).map(|_| Plan::of(url)).collect())
    }

    /// Starts a node for each plan.
    pub fn start_as(plans: Vec<Plan>) -> Self {
        let shared = Home::new();
        let master_key = shared.write("master.key", &"7e".repeat(32));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&master_key, private).expect("the key is closed");
        let mut create = shared.command(&["create", "--json", "--name", "Admin", "--admin"]);
        join(&mut create, &plans[0], &master_key);
        let made = within(&plans[0], || Ran::of(&mut create)).success().json();
        let nodes = plans.into_iter();
        Self {
            nodes: nodes.map(|plan| Node::start(plan, &master_key)).collect(),
            admin: key_in(&made).expect("a key"),
            master_key,
            _shared: shared,
            told: Mutex::default(),
            revoked: Mutex::default(),
            watch: Stopwatch::start(),
            refused: AtomicUsize::new(0),
        }
    }

    /// Makes a key through a node; nothing unless that was acknowledged.
    pub fn create(&self, node: &Node) -> Option<Key> {
        let made = self.change(node, "/api/auth/keys", &json!({"name": "client"}))?;
        let key = key_in(&made).expect("a key");
        self.note(&key, Told::Created);
        Some(key)
    }

    /// Makes a key with a limit, such as `30/24h`, at the command line.
    pub fn create_limited(&self, limit: &str) -> Key {
        let create = [
            "create",
            "--json",
            "--name",
            "limited",
            "--rate-limit",
            limit,
        ];
        key_in(&self.run(&create).success().json()).expect("a key")
    }

    /// Revokes a key through a node; says whether that was acknowledged.
    pub fn revoke(&self, node: &Node, key: &Key) -> bool {
        let path = format!("/api/auth/keys/{}/revoke", key.id);
        if self.change(node, &path, &json!({})).is_none() {
            return false;
        }
        let revoked = Key {
            id: key.id.clone(),
            prefix: key.prefix.clone(),
            api_key: key.api_key.clone(),
        };
        let mut all = self.revoked.lock().expect("what was revoked");
        all.push((revoked, self.watch.elapsed()));
        drop(all);
        self.note(key, Told::Revoked);
        true
    }

    /// What a node answers to a change, if it acknowledges it.
    fn change(&self, node: &Node, path: &str, body: &Value) -> Option<Value> {
        let post = |server: &Server| {
            let post = server.post(path).api_key(&self.admin.api_key);
            post.json(body).try_send()
        };
        let answer = node.here(post)?;
        if matches!(answer.status, 200 | 201) {
            return Some(answer.json());
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn note(&self, key: &Key, told: Told) {
        let mut all = self.told.lock().expect("what was told");
        all.insert(key.id.clone(), told);
    }

    /// How many changes were refused so far.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lets something happen while keys are made and revoked through every node, and those revoked
    /// longer than [`PROMISE`] ago are asked for.
    pub fn under_load(&self, happens: impl FnOnce()) {
        /// Ends the load also where `happens` fails.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for node in &self.nodes {
                let is_over = &is_over;
                scope.spawn(move || self.change_keys(node, is_over));
                scope.spawn(move || self.ask_for_revoked(node, is_over));
            }
            let _end = End(&is_over);
            self.works_for_a_while();
            happens();
            self.comes_back();
            self.works_for_a_while();
        });
    }

    fn works_for_a_while(&self) {
        let count = || self.told.lock().expect("what was told").len();
        let enough = count() + 10 * self.nodes.len();
        at_last(|| (count() >= enough).then_some(()));
    }

    fn change_keys(&self, node: &Node, is_over: &AtomicBool) {
        let mut is_revoked_next = false;
        while !is_over.load(Ordering::SeqCst) {
            let made = self.create(node);
            if let (Some(key), true) = (&made, is_revoked_next) {
                self.revoke(node, key);
            }
            is_revoked_next = !is_revoked_next;
            std::thread::sleep(Duration::from_millis(if made.is_some() { 10 } else { 50 }));
        }
    }

    fn ask_for_revoked(&self, node: &Node, is_over: &AtomicBool) {
        let mut turn = 0;
        while !is_over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            let now = self.watch.elapsed();
            let due = {
                let revoked = self.revoked.lock().expect("what was revoked");
                let due = revoked.iter().rev().filter(|(_, at)| *at + PROMISE < now);
                let due: Vec<_> = due.collect();
                // The newest and all, in turn.
                let few = due.len().min(20);
                let of = if turn % 2 == 0 { few } else { due.len() };
                turn += 1;
                due.get(turn / 2 % of.max(1)).map(|(key, at)| {
                    let key = Key {
                        id: key.id.clone(),
                        prefix: key.prefix.clone(),
                        api_key: key.api_key.clone(),
                    };
                    (key, *at)
                })
            };
            if let Some((key, at)) = due {
                let late = now.saturating_sub(at);
                assert_ne!(node.asked(&key), Some(200), "honoured {late:?} later");
            }
        }
    }

    /// Checks that no node lets anybody through without news from the database.
    #[track_caller]
    pub fn nobody_passes(&self) {
        for node in &self.nodes {
            assert_eq!(node.asked(&self.admin), Some(503));
        }
    }

    /// Waits until every node is ready, honours keys and takes changes.
    #[track_caller]
    pub fn comes_back(&self) {
        let since = Stopwatch::start();
        for node in &self.nodes {
            let is_ready = |server: &Server| {
                let answer = server.get("/readyz").try_send();
                answer.is_some_and(|answer| answer.status == 200)
            };
            at_last(|| self.create(node));
            at_last(|| node.here(is_ready).then_some(()));
            node.comes_to_answer(&self.admin, 200);
        }
        println!("came back in {:?}", since.elapsed());
    }

    /// Checks that everything acknowledged is there, that nodes agree on it, and that the audit log is
    /// whole and tells of all of it. Ends the nodes.
    pub fn must_be_whole(mut self) {
        let told = std::mem::take(&mut *self.told.lock().expect("what was told"));
        let revoked = std::mem::take(&mut *self.revoked.lock().expect("what was revoked"));
        println!(
            "{} keys acknowledged, {} of them revoked; {} changes refused",
            told.len(),
            revoked.len(),
            self.refused()
        );
        for node in &self.nodes {
            for (key, _) in &revoked {
                node.comes_to_answer(key, 401);
            }
        }
        self.nothing_acknowledged_is_lost(&told);
        for node in std::mem::take(&mut self.nodes) {
            let (status, log) = node.server.stop();
            assert_eq!(status, Some(0), "{log}");
            for password in [PASSWORD, redis_server::PASSWORD] {
                assert!(!log.contains(password), "{log}");
            }
            assert!(!log.contains("panicked"), "{log}");
        }
    }

    fn nothing_acknowledged_is_lost(&self, told: &BTreeMap<String, Told>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let keys = self.every("list", "keys");
        let keys: BTreeMap<String, Value> = keys
            .into_iter()
            .map(|key| (text(&key["key_id"]), key))
            .collect();
        let events = self.every("logs", "events");
        let recorded: BTreeSet<(String, String)> = events
            .iter()
            .map(|event| (text(&event["key_id"]), text(&event["action"])))
            .collect();
        let is_recorded = |id: &str, action: &str| {
            let record = (id.to_owned(), action.to_owned());
            assert!(recorded.contains(&record), "no {action} of {id}");
        };
        for (id, told) in told {
            let key = keys.get(id);
            let key = key.unwrap_or_else(|| panic!("{id} was acknowledged and is not there"));
            if *told == Told::Revoked {
                assert_eq!(key["revoked"], true, "{key}");
            }
        }
        for (id, key) in &keys {
            is_recorded(id, "key.created");
            if key["revoked"] == true {
                is_recorded(id, "key.revoked");
            }
        }
        let verified = self.run(&["logs", "--verify", "--json"]).success().json();
        assert_eq!(verified["whole"], true, "{verified}");
    }

    /// All pages of a command's list.
    fn every(&self, command: &str, list: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut arguments = vec![command, "--json", "--limit", "1000"];
            if let Some(cursor) = &cursor {
                arguments.extend(["--cursor", cursor]);
            }
            let page = self.run(&arguments).success().json();
            all.extend(page[list].as_array().expect("a list").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return all,
            }
        }
    }

    /// Runs a command on the first node's machine.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with_input(arguments, "")
    }

    /// Runs a command on the first node's machine, with a text on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let node = &self.nodes[0];
        let mut command = node.home.command(arguments);
        join(&mut command, &node.plan, &self.master_key);
        node.here(|_| Ran::with_input(&mut command, input))
    }
}

/// Tries something until it comes to something.
#[track_caller]
pub fn at_last<T>(mut change: impl FnMut() -> Option<T>) -> T {
    let since = Stopwatch::start();
    loop {
        if let Some(done) = change() {
            return done;
        }
        assert!(since.elapsed() < PATIENCE, "it never came to anything");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn key_in(made: &Value) -> Option<Key> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Key {
        id: text(&made["key"]["key_id"])?,
        prefix: text(&made["key"]["prefix"])?,
        api_key: text(&made["api_key"])?,
    })
}
