//! The settings: where they come from, which counts, and what a mistake is told.

use crate::support::{Home, Ran, Server};

/// The environment of a key that is made without saying which.
fn environment_of(home: &Home, adjust: impl FnOnce(&mut std::process::Command)) -> String {
    let mut command = home.command(&["create", "--name", "x", "--json"]);
    adjust(&mut command);
    let made = Ran::of(&mut command).success().json();
    made["key"]["environment"]
        .as_str()
        .expect("an environment")
        .to_owned()
}

#[test]
fn a_flag_counts_before_the_environment_and_that_before_the_file() {
    let home = Home::new();
    assert_eq!(environment_of(&home, |_| ()), "production");
    home.write("sealgate.toml", "[server]\nenvironment = \"testing\"\n");
    assert_eq!(environment_of(&home, |_| ()), "testing");
    let variable = |command: &mut std::process::Command| {
        command.env("SEALGATE_ENVIRONMENT", "development");
    };
    assert_eq!(environment_of(&home, variable), "development");
    let flag = |command: &mut std::process::Command| {
        command.args(["--environment", "production"]);
        variable(command);
    };
    assert_eq!(environment_of(&home, flag), "production");

    let server = Server::start_with(&home, |command| {
        command
            .env("SEALGATE_LISTEN", "192.0.2.1:1")
            .args(["--listen", "127.0.0.1:0"]);
    });
    server.get("/healthz").send().expect(200);
}

#[test]
fn the_data_directory_is_found_in_its_order() {
    let home = Home::new();
    let here = home.here();
    let data_home = |command: &mut std::process::Command| {
        command
            .env_remove("SEALGATE_DATA_DIR")
            .env("XDG_DATA_HOME", here.join("xdg"));
    };
    environment_of(&home, |command| {
        command.env_remove("SEALGATE_DATA_DIR");
    });
    assert!(
        home.path()
            .join(".local/share/sealgate/sealgate.db")
            .exists()
    );
    environment_of(&home, data_home);
    assert!(here.join("xdg/sealgate/sealgate.db").exists());
    environment_of(&home, |command| {
        data_home(command);
        command.env(
            "STATE_DIRECTORY",
            format!("{}:/nowhere", here.join("state").display()),
        );
    });
    assert!(here.join("state/sealgate.db").exists());
    home.write("sealgate.toml", "data_dir = \"from-file\"");
    environment_of(&home, data_home);
    assert!(here.join("from-file/sealgate.db").exists());
    environment_of(&home, |_| ());
    assert!(home.database().exists());
    environment_of(&home, |command| {
        command.arg("--data-dir").arg(here.join("flag"));
    });
    assert!(here.join("flag/sealgate.db").exists());

    let mut command = home.command(&["list", "--config", "/dev/null"]);
    let ran = Ran::of(command.env_remove("SEALGATE_DATA_DIR").env_remove("HOME"));
    ran.failure(1, "--data-dir DIR or SEALGATE_DATA_DIR");
}

#[test]
fn a_settings_file_in_the_data_directory_counts_if_there_is_none_here() {
    let home = Home::new();
    std::fs::create_dir(home.data_dir()).expect("a directory");
    let file = home.data_dir().join("sealgate.toml");
    std::fs::write(file, "[server]\nenvironment = \"testing\"\n").expect("a file");
    assert_eq!(environment_of(&home, |_| ()), "testing");
    let other = home.write("other.toml", "[server]\nenvironment = \"development\"\n");
    assert_eq!(
        environment_of(&home, |command| {
            command.arg("--config").arg(&other);
        }),
        "development"
    );
    assert_eq!(
        environment_of(&home, |command| {
            command.env("SEALGATE_CONFIG", &other);
        }),
        "development"
    );
}

#[test]
fn a_mistake_in_the_file_is_named_by_file_line_and_key() {
    let home = Home::new();
    for (text, says) in [
        (
            "[server]\nlisen = \"x\"\n",
            "sealgate.toml:2: server.lisen: unknown field `lisen`",
        ),
        (
            "\n[tokens]\n\nlifetime_seconds = \"1h\"\n",
            "sealgate.toml:4: tokens.lifetime_seconds: ",
        ),
        (
            "[keys]\nrotation_days = 0\n",
            "sealgate.toml:2: keys.rotation_days: 0 is not between",
        ),
        ("[server\n", "sealgate.toml:1: "),
        (
            "[tokens]\nalgorithm = \"none\"\n",
            "sealgate.toml:2: tokens.algorithm: ",
        ),
        (
            "[sessions]\nheader = \"Cookie\"\n",
            "sealgate.toml:2: sessions.header: the header `cookie` has a meaning of its own",
        ),
        (
            "[identity]\nbackend = \"http\"\n[identity.http]\nurll = \"x\"\n",
            "sealgate.toml:4: identity.http.urll: unknown field `urll`",
        ),
        (
            "[identity]\nbackend = \"ldap\"\n",
            "identity.ldap.url is not set",
        ),
        (
            "[tls]\ncert = \"c.pem\"\n",
            "tls.cert is set and tls.key is not",
        ),
    ] {
        home.write("sealgate.toml", text);
        home.run(&["list"]).failure(1, says);
    }
    home.run(&["list", "--config", "nowhere.toml"])
        .failure(1, "there is no settings file nowhere.toml");
}

#[test]
fn a_mistake_in_the_environment_is_named_by_its_variable() {
    let home = Home::new();
    for (variable, value) in [
        ("SEALGATE_LISTEN", "8080"),
        ("SEALGATE_ENVIRONMENT", "prod"),
        ("SEALGATE_TOKENS_LIFETIME_SECONDS", "1h"),
        ("SEALGATE_TOKENS_LIFETIME_SECONDS", "0"),
        ("SEALGATE_JSON", "yes"),
        ("SEALGATE_TRUSTED_PROXIES", "10.0.0.0/8,x"),
        ("SEALGATE_LOG_LEVEL", "loud"),
        ("SEALGATE_FORWARD_AUTH_HEADERS", "both"),
        ("SEALGATE_SESSIONS_WRONG_KEY_STATUS", "403"),
        ("SEALGATE_SESSIONS_REQUIRE_KEY", "yes"),
        ("SEALGATE_SESSIONS_DEFAULT_KEY", "short"),
        ("SEALGATE_IDENTITY_HTTP_SUCCESS", "200,found"),
        ("SEALGATE_IDENTITY_LDAP_TIMEOUT_SECONDS", "0"),
    ] {
        let ran = Ran::of(home.command(&["list"]).env(variable, value));
        ran.failure(1, &format!("{variable}: "));
    }
    // Empty is absent.
    let ran = Ran::of(
        home.command(&["create", "--name", "x"])
            .env("SEALGATE_LISTEN", ""),
    );
    ran.success();
}

#[test]
fn json_and_quiet_are_settings_too() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let ran = Ran::of(home.command(&["list"]).env("SEALGATE_JSON", "1")).success();
    assert!(ran.json()["keys"].is_array());
    home.write("sealgate.toml", "json = true");
    assert!(home.run(&["list"]).success().json()["keys"].is_array());
    home.write("sealgate.toml", "quiet = true");
    assert!(home.run(&["list"]).success().stderr.is_empty());
}

#[test]
fn a_database_can_be_elsewhere_and_has_to_be_of_a_known_kind() {
    let home = Home::new();
    let file = home.here().join("elsewhere.db");
    let url = format!("sqlite:{}", file.display());
    home.run(&["create", "--name", "x", "--database-url", &url])
        .success();
    assert!(file.exists());
    assert!(home.master_key().exists());
    for secret in [
        "mysql://ada:hunter2@db.example.com/sealgate",
        "postgres://ada:hunter2@db.example.com:port/sealgate",
    ] {
        let ran = home
            .run(&["list", "--database-url", secret])
            .failure(2, "postgres://USER@HOST/DATABASE");
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}
