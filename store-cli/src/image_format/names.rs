//! Names of images, made complete the way podman does when it loads them.
//!
//! ```text
//! NAME      [REGISTRY/]PATH[:TAG]
//! REGISTRY  has a dot or a colon, or is `localhost`; a name without one is of `localhost`
//! PATH      components of [a-z0-9], joined inside by `.`, `_`, `__` or dashes
//! TAG       a letter, digit or `_`, then up to 127 of these and `.`, `-`; `latest` where an image layout has none
//! ```

use storage_core::Result;

use super::bad;

/// The registry whose names may leave out `library/`.
const DOCKER: &str = "docker.io";
/// The longest registry and path.
const MOST: usize = 255;

/// What a name without a tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTag {
    /// It means `latest`.
    Latest,
    /// It is an error.
    Refused,
}

/// The complete name that `given` means.
pub(super) fn complete(given: &str, no_tag: NoTag) -> Result<String> {
    let fail = |why: &str| {
        let shown: String = given.chars().take(300).collect();
        bad(format!("{shown:?} can't be the name of an image: {why}"))
    };
    if given.contains('@') {
        return Err(fail("it has a digest"));
    }
    let (registry, rest) = split_registry(given);
    let (path, tag) = match (rest.rsplit_once(':'), no_tag) {
        (Some((path, tag)), _) => (path, tag),
        (None, NoTag::Latest) => (rest, "latest"),
        (None, NoTag::Refused) => return Err(fail("it has no tag")),
    };
    if !is_registry(registry) {
        return Err(fail("its registry is not a host"));
    }
    if !path.split('/').all(is_component) {
        return Err(fail("its path has other components than lower-case letters and digits"));
    }
    if !is_tag(tag) {
        return Err(fail("its tag is empty, too long, or has other characters than letters, digits, dot and dash"));
    }
    let library = if registry == DOCKER && !path.contains('/') { "library/" } else { "" };
    let repository = format!("{registry}/{library}{path}");
    if repository.len() > MOST {
        return Err(fail("it is too long"));
    }
    Ok(format!("{repository}:{tag}"))
}

fn split_registry(given: &str) -> (&str, &str) {
    match given.split_once('/') {
        Some(("index.docker.io", rest)) => (DOCKER, rest),
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("localhost", given),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
    ends && text.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit()).all(is_joint)
}

/// What may stand between two letters of a component; nothing, too.
fn is_joint(text: &str) -> bool {
    matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What podman 4.3.1 made of each name in an image layout.
    #[test]
    fn names_are_completed_as_podman_does() {
        for (given, name) in [
            ("x", "localhost/x:latest"),
            ("x:latest", "localhost/x:latest"),
            ("me/x:1", "localhost/me/x:1"),
            ("library/x:2", "localhost/library/x:2"),
            ("localhost/x", "localhost/x:latest"),
            ("docker.io/x:1", "docker.io/library/x:1"),
            ("index.docker.io/x:1", "docker.io/library/x:1"),
            ("docker.io/me/x", "docker.io/me/x:latest"),
            ("x:5000/y:1", "x:5000/y:1"),
            ("foo.bar:1", "localhost/foo.bar:1"),
            ("a__b/x:1", "localhost/a__b/x:1"),
            ("quay.io/a/b", "quay.io/a/b:latest"),
        ] {
            assert_eq!(complete(given, NoTag::Latest).expect(given), name);
        }
    }

    #[test]
    fn what_podman_refuses_is_refused() {
        let long = format!("quay.io/x:{}", "t".repeat(129));
        for given in [
            "",
            "x y",
            "BAD:x",
            "Foo/x:1",
            "x:",
            "x:-a",
            "a..b/x:1",
            "a___b:1",
            "[::1]:5000/x:1",
            &long,
            "quay.io//x",
            "x@sha256:00",
            "../x",
            "/x",
        ] {
            assert!(complete(given, NoTag::Latest).is_err(), "{given:?}");
        }
        assert!(complete("x", NoTag::Refused).is_err());
    }
}
