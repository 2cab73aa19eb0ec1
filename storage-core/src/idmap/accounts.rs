//! How many ids an image's lists of users and groups need.

/// The id that stands for nobody, and is no reason for a large map.
const NOBODY: u32 = 65_534;

/// How many ids it takes from 0 to the highest one in texts of the form of `/etc/passwd` and `/etc/group`. The accounts
/// `nobody` and `nogroup`, and the id 65534 under any name, are passed over: else nearly every image would need 65536.
///
/// * The texts come from images: lines of another form are passed over.
pub fn ids_of_accounts(passwd: &[u8], group: &[u8]) -> u32 {
    let users = ids(passwd, &[2, 3]);
    users.max(ids(group, &[2]))
}

/// One more than the highest id in the given fields.
fn ids(text: &[u8], fields: &[usize]) -> u32 {
    let mut most = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let parts: Vec<_> = line.split(|byte| *byte == b':').collect();
        if matches!(parts[0], b"nobody" | b"nogroup") || parts[0].starts_with(b"#") {
            continue;
        }
        let number = |field: &usize| std::str::from_utf8(parts.get(*field)?).ok()?.trim().parse::<u32>().ok();
        let ids = fields.iter().filter_map(number).filter(|id| *id != NOBODY);
        most = ids.filter_map(|id| id.checked_add(1)).fold(most, u32::max);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_account_counts_and_nobody_does_not() {
        let passwd = b"root:x:0:0::/:\na:x:1:5::/:\nb:x:2:2::/:\nnobody:x:70000:70000::/:\nweird:x:65534:65534::/:\n";
        assert_eq!(ids_of_accounts(passwd, b""), 6, "the group of a user counts");
        assert_eq!(ids_of_accounts(passwd, b"root:x:0:\nnogroup:x:65534:\nx:x:99:a,b\n"), 100);
        assert_eq!(ids_of_accounts(b"a:x:1:1::/:\nb:x:2:2::/:\n", b""), 3, "the id next to the last one counts too");
        assert_eq!(ids_of_accounts(b"\xff:x\n::::\nx:x:-1:9999999999:\n#c:x:7:7:\n", b"x:x:4294967295:"), 0);
    }
}
