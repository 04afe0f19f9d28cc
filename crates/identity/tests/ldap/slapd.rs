//! The server `slapd` on this machine, with a directory of its own for each test. The tests of the
//! program take this file too.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const LDIF: &str = include_str!("directory.ldif");

/// A running server. It ends with this value, also when a test fails.
pub struct Slapd {
    _process: Process,
    folder: TempDir,
    plain: u16,
    tls: u16,
}

impl Slapd {
    /// Starts a server for `ldap://` and `ldaps://`.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_certificates(folder.path());
        let config = write_config(folder.path());
        add_entries(folder.path(), &config);
        // Another program can take a port between its choice and its use.
        for _ in 0..10 {
            let [plain, tls] = free_ports();
            if let Some(process) = listen(&config, plain, tls) {
                return Self {
                    _process: process,
                    folder,
                    plain,
                    tls,
                };
            }
        }
        panic!("slapd does not start: {}", config.display());
    }

    pub fn ldap(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.plain)
    }

    pub fn ldaps(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls)
    }

    /// The authority that signed the server's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// An authority that did not.
    pub fn other_ca_file(&self) -> PathBuf {
        self.folder.path().join("other-ca.pem")
    }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server's process once it listens, or nothing if it cannot.
fn listen(config: &Path, plain: u16, tls: u16) -> Option<Process> {
    let urls = format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}");
    let child = program("slapd")
        .arg("-f")
        .arg(config)
        .args(["-h", &urls])
        // In the foreground, with the messages that are logged at any level.
        .args(["-d", "none"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines();
    let started = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.ends_with("slapd starting"));
    if !started {
        return None;
    }
    drain(lines);
    // It says so a moment before it listens, and says nothing when it does.
    for port in [plain, tls] {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(process.0.try_wait().unwrap().is_none(), "slapd has ended");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Some(process)
}

/// What else it says must not fill the pipe.
fn drain(lines: Lines<BufReader<ChildStderr>>) {
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
}

fn add_entries(folder: &Path, config: &Path) {
    let ldif = folder.join("directory.ldif");
    std::fs::write(&ldif, LDIF).unwrap();
    let output = program("slapadd")
        .arg("-q")
        .arg("-f")
        .arg(config)
        .arg("-l")
        .arg(&ldif)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "slapadd: {said}");
}

/// A program of the package `slapd`, which is where only root looks for programs.
fn program(name: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    let program = if path.exists() { path } else { name.into() };
    let found = Command::new(&program).arg("-VV").output();
    assert!(
        found.is_ok(),
        "{name} is missing: these tests ask a real directory. Install OpenLDAP's server \
         (Debian and its relatives: apt-get install slapd)"
    );
    Command::new(program)
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn write_config(folder: &Path) -> PathBuf {
    let here = folder.display();
    std::fs::create_dir(folder.join("entries")).unwrap();
    let path = folder.join("slapd.conf");
    let config = format!(
        r#"
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {here}/pid
# As careless as a directory can be: a bind without a password is one of nobody, and goes well.
allow bind_anon_cred bind_anon_dn
TLSCertificateFile {here}/server.pem
TLSCertificateKeyFile {here}/server.key
database mdb
suffix "dc=example,dc=org"
directory {here}/entries
access to attrs=userPassword by anonymous auth by * none
access to dn.base="uid=hidden,ou=people,dc=example,dc=org" by self none by * search
access to attrs=entry,uid by * read
access to * by self read by dn.base="cn=reader,dc=example,dc=org" read by * search
"#
    );
    std::fs::write(&path, config).unwrap();
    path
}

/// An authority, the server's certificate signed by it, and an authority of the same name that has
/// nothing to do with it.
fn write_certificates(folder: &Path) {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("other-ca.pem", self::authority().pem()),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
