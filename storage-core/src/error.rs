//! What went wrong, in which operation, on which path, and what to do about it.
//!
//! One opaque [`Error`] serves the whole library. Callers decide by [`Error::kind`]; people read the text. A kind has a
//! stable number ([`Kind::code`]) and a stable name ([`Kind::name`]): the number is the exit code of the command and the
//! code at the border to plugins, the name is what JSON output says.
//!
//! The text is one line: `OPERATION PATH: DETAIL; REMEDY: WORDS`, with the parts that are not known left out. It ends
//! with the words that containers/storage uses for the same condition, because scripts search for them.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A result whose error is the library's own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $words:literal;)*) => {
        /// The condition that an [`Error`] reports. Numbers and names never change; new ones are added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $variant = $code,)*
        }

        impl Kind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The stable name of the kind, as JSON output shows it.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// The words that containers/storage uses for this condition; empty where the operating system's serve.
            pub const fn words(self) -> &'static str {
                match self { $(Kind::$variant => $words,)* }
            }
        }
    };
}

kinds! {
    /// An argument can't be used as it was given.
    Usage = 2, "usage", "";
    /// No layer has this id, name or unique prefix.
    LayerUnknown = 3, "layer-unknown", "layer not known";
    /// The layer named as parent doesn't exist.
    ParentUnknown = 4, "parent-unknown", "parent of layer not known";
    /// The id is taken.
    DuplicateId = 5, "duplicate-id", "that ID is already in use";
    /// The name is taken.
    DuplicateName = 6, "duplicate-name", "that name is already in use";
    /// Another layer has this one as its parent.
    LayerHasChildren = 7, "layer-has-children", "layer has children";
    /// An image has this layer as its top layer.
    LayerUsedByImage = 8, "layer-used-by-image", "layer is in use by an image";
    /// A container uses this layer, or the layer is mounted.
    LayerUsedByContainer = 9, "layer-used-by-container", "layer is in use by a container";
    /// A conditional unmount met a layer whose count is zero.
    LayerNotMounted = 10, "layer-not-mounted", "layer is not mounted";
    /// The store, or the layer's part of it, may only be read.
    ReadOnlyStore = 11, "read-only-store", "called a write method on a read-only store";
    /// The driver, the kernel or this version can't do what was asked.
    NotSupported = 12, "not-supported", "not supported";
    /// A name that can't serve as a big-data key.
    InvalidBigDataName = 13, "invalid-big-data-name", "not a valid name for a big data item";
    /// An identifier that can't be a layer's.
    InvalidId = 14, "invalid-id", "not a valid identifier";
    /// An archive is truncated, damaged or of an unknown form.
    BadArchive = 15, "bad-archive", "invalid tar archive";
    /// A path in an archive or a store leads outside the place it belongs to.
    Escape = 16, "escape", "path escapes from its root";
    /// A file of the store can't be understood.
    Corrupt = 17, "corrupt", "error loading storage metadata";
    /// A lock could not be had in the time allowed.
    Locked = 18, "locked", "resource temporarily unavailable";
    /// The caller asked to stop.
    Cancelled = 19, "cancelled", "context canceled";
    /// What was being read changed or vanished meanwhile.
    Changed = 20, "changed", "layer content modified";
    /// The filesystem is full or a quota is reached.
    NoSpace = 21, "no-space", "no space left on device";
    /// The operating system refused permission.
    Permission = 22, "permission", "permission denied";
    /// A file or directory is missing.
    NotFound = 23, "not-found", "no such file or directory";
    /// Any other failure of the operating system.
    Io = 24, "io", "";
    /// A driver can't be used here.
    DriverUnusable = 25, "driver-unusable", "prerequisites for driver not satisfied (wrong filesystem?)";
    /// No driver has this name.
    DriverUnknown = 26, "driver-unknown", "driver not supported";
    /// A locking rule was broken by the caller: a token of another store, or a second key in one thread.
    LockMisuse = 27, "lock-misuse", "locking rule broken";
    /// A mount point is in use elsewhere.
    Busy = 28, "busy", "device or resource busy";
    /// An archive or a layer is larger than a limit allows.
    TooLarge = 29, "too-large", "file too large";
    /// No image has this id, name or unique prefix.
    ImageUnknown = 30, "image-unknown", "image not known";
    /// No container has this id, name or unique prefix.
    ContainerUnknown = 31, "container-unknown", "container not known";
    /// A container was made from this image.
    ImageUsedByContainer = 32, "image-used-by-container", "image is in use by a container";
    /// A container writes to the layer named as parent.
    ParentIsContainer = 33, "parent-is-container", "would-be parent layer is a container";
    /// Nothing at all has this id, name or unique prefix.
    NotAnId = 34, "not-an-id", "identifier is not a layer, image, or container";
    /// The size of a big data item was never recorded.
    SizeUnknown = 35, "size-unknown", "size is not known";
    /// The digest of a big data item was never recorded.
    DigestUnknown = 36, "digest-unknown", "could not compute digest of item";
    /// A map of ids contradicts itself.
    InvalidMappings = 37, "invalid-mappings", "invalid mappings specified";
    /// No range of ids is free for a user namespace.
    NoAvailableIds = 38, "no-available-ids", "not enough unused IDs in user namespace";
    /// A driver plugin can't be loaded, or broke its contract.
    BadPlugin = 39, "bad-plugin", "faulty driver plugin";
    /// An audit saw a rule of locking broken.
    RuleBroken = 40, "rule-broken", "a rule of locking is broken";
}

impl Kind {
    /// The stable number of the kind.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with the number `code`.
    pub fn of_code(code: i32) -> Option<Self> {
        Kind::ALL.iter().copied().find(|kind| i32::from(kind.code()) == code)
    }

    fn of_errno(errno: i32) -> Self {
        match errno {
            libc::ENOENT | libc::ENOTDIR => Kind::NotFound,
            libc::EACCES | libc::EPERM => Kind::Permission,
            libc::ENOSPC | libc::EDQUOT => Kind::NoSpace,
            libc::EROFS => Kind::ReadOnlyStore,
            libc::EBUSY => Kind::Busy,
            libc::EFBIG => Kind::TooLarge,
            libc::EOPNOTSUPP | libc::ENOSYS => Kind::NotSupported,
            _ => Kind::Io,
        }
    }
}

/// What went wrong. See the module's text for how it reads.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    operation: Cow<'static, str>,
    path: Option<PathBuf>,
    detail: Option<String>,
    remedy: Option<Cow<'static, str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, met by `operation` (a verb and its object: `"create layer"`).
    pub fn new(kind: Kind, operation: impl Into<Cow<'static, str>>) -> Self {
        let operation = operation.into();
        Error { inner: Box::new(Inner { kind, operation, path: None, detail: None, remedy: None, source: None }) }
    }

    /// A failed system call; `operation` is the call with its arguments (`"renameat2(exchange)"`).
    pub fn os(operation: impl Into<Cow<'static, str>>, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let kind = source.raw_os_error().map_or(Kind::Io, Kind::of_errno);
        let mut error = Error::new(kind, operation).at(path);
        error.inner.source = Some(Box::new(source));
        error
    }

    /// Adds the path that the operation was about.
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.inner.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// Adds what was found, in words. An earlier detail is kept behind the new one.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        self.inner.detail = Some(match self.inner.detail.take() {
            Some(earlier) => format!("{detail}: {earlier}"),
            None => detail,
        });
        self
    }

    /// Adds what the reader can do about it.
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.inner.remedy = Some(remedy.into());
        self
    }

    /// Adds the error that caused this one.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error once more, without what caused it.
    pub(crate) fn again(&self) -> Self {
        let Inner { kind, operation, path, detail, remedy, .. } = &*self.inner;
        let (operation, path, detail, remedy) = (operation.clone(), path.clone(), detail.clone(), remedy.clone());
        Error { inner: Box::new(Inner { kind: *kind, operation, path, detail, remedy, source: None }) }
    }

    /// What was found, for the border to plugins.
    pub(crate) fn detail_text(&self) -> Option<&str> {
        self.inner.detail.as_deref()
    }

    /// What the reader can do, for the border to plugins.
    pub(crate) fn remedy_text(&self) -> Option<&str> {
        self.inner.remedy.as_deref()
    }

    /// The cause as it is shown, unless it is no more than [`Error::errno`].
    pub(crate) fn cause_text(&self) -> Option<String> {
        let source = self.inner.source.as_deref()?;
        let is_number = source.downcast_ref::<io::Error>().is_some_and(|io| io.raw_os_error().is_some());
        (!is_number).then(|| plain(source, self.inner.kind.words()))
    }

    /// The condition, for decisions.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.inner.operation
    }

    /// The path that it was about, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// The number of the operating system's error below this one, where there is one.
    pub fn errno(&self) -> Option<i32> {
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return io.raw_os_error();
            }
            source = error.source();
        }
        None
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        f.write_str(&inner.operation)?;
        if let Some(path) = &inner.path {
            write!(f, " {}", path.display())?;
        }
        if let Some(detail) = &inner.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(remedy) = &inner.remedy {
            write!(f, "; {remedy}")?;
        }
        let words = inner.kind.words();
        match &inner.source {
            None if words.is_empty() => Ok(()),
            None => write!(f, ": {words}"),
            Some(source) => write!(f, ": {}", plain(source.as_ref(), words)),
        }
    }
}

/// The words of a cause: those of the kind for a plain system error of that kind, else the cause's own text.
fn plain(source: &(dyn std::error::Error + 'static), words: &str) -> String {
    let Some(io) = source.downcast_ref::<io::Error>() else {
        let text = source.to_string();
        return if words.is_empty() || text.ends_with(words) { text } else { format!("{text}: {words}") };
    };
    match io.raw_os_error() {
        Some(errno) => {
            let text = nix::errno::Errno::from_raw(errno).desc();
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
        None => io.to_string(),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.kind().name())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

/// Turns the error of a system call into the library's, with the call and its path.
pub trait OsContext<T> {
    /// Names the call with its arguments, and the path that it was about.
    fn os(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> OsContext<T> for std::result::Result<T, E> {
    fn os(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::os(operation, path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_operation_path_remedy_and_ends_with_the_words_scripts_search() {
        let error = Error::new(Kind::LayerUnknown, "mount layer")
            .at("/store")
            .detail("nothing is called \"x\"")
            .remedy("`lamina layers` lists what is there");
        assert_eq!(
            error.to_string(),
            "mount layer /store: nothing is called \"x\"; `lamina layers` lists what is there: layer not known"
        );
    }

    #[test]
    fn a_system_error_keeps_its_number_and_maps_to_its_kind() {
        let error = Error::os("open", "/x", io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!((error.kind(), error.errno()), (Kind::NoSpace, Some(libc::ENOSPC)));
        assert_eq!(error.to_string(), "open /x: no space left on device");
    }

    #[test]
    fn numbers_and_names_of_kinds_are_distinct() {
        let mut codes: Vec<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        codes.dedup();
        names.sort_unstable();
        names.dedup();
        assert_eq!(
            (codes.len(), names.len()),
            (Kind::ALL.len(), Kind::ALL.len()),
            "a kind's number or name stands twice"
        );
    }
}
