//! Whether a test that a page names is one that runs.

/// Checks that a source has a test of this name, and that it is not left out of a run.
///
/// # Errors
/// Says what is missing.
pub fn check(source: &str, name: &str) -> Result<(), &'static str> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_it = |line: &str| {
        let function = line.strip_prefix("async ").unwrap_or(line);
        let rest = function.strip_prefix("fn ");
        rest.and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let at = lines.iter().position(|line| is_it(line));
    let at = at.ok_or("there is no such function")?;
    let above = lines[..at].iter().rev();
    let attributes: Vec<&str> = above
        .take_while(|line| !line.is_empty() && !line.ends_with(['{', '}', ';']))
        .filter(|line| !line.starts_with("//"))
        .copied()
        .collect();
    // A property is one too only with this attribute: proptest! keeps it.
    let makes_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    if !attributes.iter().any(makes_test) {
        return Err("it is a function, and no test");
    }
    if attributes.iter().any(|line| line.contains("ignore")) {
        return Err("it is left out of a run");
    }
    Ok(())
}

#[test]
fn a_function_that_does_not_run_is_no_test() {
    const SOURCE: &str = "
mod tests {
    #[test]
    fn plain() {}

    /// Why.
    #[tokio::test(
        flavor = \"current_thread\"
    )]
    async fn asynchronous() {}

    proptest! {
        #[test]
        fn property(x: u8) {}
    }

    fn helper() {}

    // #[test]
    fn commented_out() {}

    #[test]
    #[ignore = \"slow\"]
    fn ignored() {}
}
";
    for name in ["plain", "asynchronous", "property"] {
        assert_eq!(check(SOURCE, name), Ok(()), "{name}");
    }
    for name in ["plai", "missing", "helper", "commented_out", "ignored"] {
        assert!(check(SOURCE, name).is_err(), "{name}");
    }
}
