//! Mount options as text, told apart: what the mount itself obeys, and what the filesystem is told.

use nix::mount::MsFlags;
use rustix::mount::MountAttrFlags;

/// Options of one mount, told apart. A later option overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFlags {
    /// Flags, as `mount(2)` takes them.
    pub flags: MsFlags,
    /// What the filesystem is told: keys, with values where they have one, in the order given.
    pub data: Vec<(String, Option<String>)>,
}

impl MountFlags {
    /// Tells apart `options`, each of which may itself be a list with commas (`"nodev,metacopy=on"`).
    pub fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut parsed = MountFlags { flags: MsFlags::empty(), data: Vec::new() };
        for option in options.into_iter().flat_map(|list| list.split(',')).filter(|option| !option.is_empty()) {
            match flag(option) {
                Some(Flag::Set(flag)) => parsed.flags |= flag,
                Some(Flag::Clear(flag)) => parsed.flags -= flag,
                None => parsed.put_data(option),
            }
        }
        parsed
    }

    fn put_data(&mut self, option: &str) {
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (option.to_owned(), None),
        };
        self.data.retain(|(known, _)| *known != key);
        self.data.push((key, value));
    }

    /// The value told to the filesystem for `key`; `Some("")` for a key without a value.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.data.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_deref().unwrap_or(""))
    }

    /// The flags that belong to the mount, as `fsmount` takes them.
    pub fn attributes(&self) -> MountAttrFlags {
        let pairs = [
            (MsFlags::MS_RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (MsFlags::MS_NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (MsFlags::MS_NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
            (MsFlags::MS_NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
            (MsFlags::MS_NODIRATIME, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
        ];
        let mut attributes = MountAttrFlags::empty();
        for (_, attribute) in pairs.into_iter().filter(|(flag, _)| self.flags.contains(*flag)) {
            attributes |= attribute;
        }
        if self.flags.contains(MsFlags::MS_STRICTATIME) {
            attributes |= MountAttrFlags::MOUNT_ATTR_STRICTATIME;
        } else if self.flags.contains(MsFlags::MS_NOATIME) {
            attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME;
        }
        attributes
    }

    /// What the filesystem is told, as one string with commas. A `SELinux` label with commas is put in quotes.
    pub fn data_string(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.data {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
            if let Some(value) = value {
                text.push('=');
                let quote = if key.ends_with("context") { "\"" } else { "" };
                text.push_str(quote);
                text.push_str(value);
                text.push_str(quote);
            }
        }
        text
    }
}

enum Flag {
    Set(MsFlags),
    Clear(MsFlags),
}

fn flag(option: &str) -> Option<Flag> {
    Some(match option {
        "defaults" => Flag::Set(MsFlags::empty()),
        "ro" => Flag::Set(MsFlags::MS_RDONLY),
        "rw" => Flag::Clear(MsFlags::MS_RDONLY),
        "nosuid" => Flag::Set(MsFlags::MS_NOSUID),
        "suid" => Flag::Clear(MsFlags::MS_NOSUID),
        "nodev" => Flag::Set(MsFlags::MS_NODEV),
        "dev" => Flag::Clear(MsFlags::MS_NODEV),
        "noexec" => Flag::Set(MsFlags::MS_NOEXEC),
        "exec" => Flag::Clear(MsFlags::MS_NOEXEC),
        "sync" => Flag::Set(MsFlags::MS_SYNCHRONOUS),
        "async" => Flag::Clear(MsFlags::MS_SYNCHRONOUS),
        "noatime" => Flag::Set(MsFlags::MS_NOATIME),
        "atime" => Flag::Clear(MsFlags::MS_NOATIME),
        "nodiratime" => Flag::Set(MsFlags::MS_NODIRATIME),
        "diratime" => Flag::Clear(MsFlags::MS_NODIRATIME),
        "relatime" => Flag::Set(MsFlags::MS_RELATIME),
        "norelatime" => Flag::Clear(MsFlags::MS_RELATIME),
        "strictatime" => Flag::Set(MsFlags::MS_STRICTATIME),
        "nostrictatime" => Flag::Clear(MsFlags::MS_STRICTATIME),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_data_are_told_apart_and_the_last_word_counts() {
        let parsed = MountFlags::parse(["nodev,metacopy=on", "ro", "rw,volatile", "metacopy=off"]);
        assert_eq!(parsed.flags, MsFlags::MS_NODEV);
        assert_eq!(parsed.data_string(), "volatile,metacopy=off");
        assert_eq!(
            (parsed.value("volatile"), parsed.value("metacopy"), parsed.value("x")),
            (Some(""), Some("off"), None)
        );
        assert_eq!(parsed.attributes(), MountAttrFlags::MOUNT_ATTR_NODEV);
    }

    #[test]
    fn a_label_is_quoted_in_the_string_because_it_may_hold_commas() {
        let mut parsed = MountFlags::parse(["noatime"]);
        parsed.data.push(("context".into(), Some("system_u:object_r:x:s0:c1,c2".into())));
        assert_eq!(parsed.data_string(), "context=\"system_u:object_r:x:s0:c1,c2\"");
        assert_eq!(parsed.attributes(), MountAttrFlags::MOUNT_ATTR_NOATIME);
    }
}
