//! An ordinary user who has podman: the namespaces of its pause process.

use crate::account::{Account, ID, RANGE};
use crate::{Ended, need, skip};

/// The account with a layer in its store, made by a command that had namespaces of its own. None when this machine can't.
fn with_layer(test: &str) -> Option<Account> {
    let account = Account::make(test)?;
    let made = account.shell("lamina -s overlay create-layer -i aaa");
    if made.err.contains("unshare(CLONE_NEWUSER") || made.code == Some(25) {
        skip(test, made.err.trim());
        return None;
    }
    must(&made);
    Some(account)
}

/// The account with podman's pause process.
fn with_podman(test: &str) -> Option<Account> {
    for program in ["podman", "newuidmap", "newgidmap"] {
        need(test, program)?;
    }
    let account = with_layer(test)?;
    let started = account.shell("podman unshare true");
    if !account.pid_file().exists() {
        skip(test, &format!("podman has no pause process here: {}", started.err.trim()));
        return None;
    }
    must(&started);
    Some(account)
}

fn must(ended: &Ended) -> String {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out.trim().to_owned()
}

#[test]
fn a_mount_stays_in_podmans_namespace() {
    let Some(account) = with_podman("a_mount_stays_in_podmans_namespace") else { return };
    let mounted = account.shell("lamina --debug -s overlay mount aaa");
    let path = must(&mounted);
    assert!(mounted.err.contains("pause process"), "--debug says what is joined: {mounted:?}");
    // Podman sees it, the next command of ours does, and nobody outside.
    let seen = account.shell(&format!("podman unshare findmnt -no FSTYPE --mountpoint '{path}'"));
    assert_eq!(must(&seen), "overlay");
    assert_eq!(must(&account.shell("lamina -s overlay mounted aaa")), "aaa mounted");
    assert_eq!(account.shell(&format!("findmnt --mountpoint '{path}'")).code, Some(1), "it is mounted outside");
    must(&account.shell(&format!("podman unshare sh -c 'echo here >{path}/f'")));
    assert_eq!(must(&account.shell(&format!("lamina unshare cat '{path}/f'"))), "here");
    // Every mount counts, from whatever command.
    assert_eq!(must(&account.shell("lamina -s overlay mount aaa")), path);
    must(&account.shell("lamina -s overlay unmount --if-mounted aaa"));
    must(&account.shell(&format!("podman unshare findmnt --mountpoint '{path}'")));
    must(&account.shell("lamina -s overlay unmount --if-mounted aaa"));
    assert_eq!(
        account.shell(&format!("podman unshare findmnt --mountpoint '{path}'")).code,
        Some(1),
        "it is still there"
    );
    assert_eq!(must(&account.shell("lamina -s overlay mounted aaa")), "");
}

#[test]
fn a_command_is_where_podman_unshare_is() {
    let Some(account) = with_podman("a_command_is_where_podman_unshare_is") else { return };
    let look = "sh -c 'readlink /proc/self/ns/user /proc/self/ns/mnt; id -u; id -g; pwd; cat /proc/self/uid_map; \
                env | grep ^_CONTAINERS | sort'";
    let podman = must(&account.shell(&format!("mkdir -p d && cd d && podman unshare {look}")));
    assert_eq!(must(&account.shell(&format!("cd d && lamina unshare {look}"))), podman);
    assert!(podman.contains(RANGE), "the ranges are mapped: {podman}");
    assert!(must(&account.shell("cd d && lamina unshare pwd")).ends_with("/home/d"), "the directory is kept");
    let outside = must(&account.shell("readlink /proc/self/ns/user; id -u"));
    assert_eq!(
        must(&account.shell("lamina --unshare=false unshare sh -c 'readlink /proc/self/ns/user; id -u'")),
        outside
    );
    // A directory that is there only outside.
    must(&account.as_root(&format!(
        "mount -t tmpfs tmpfs '{0}/d' && mkdir '{0}/d/late' && chown {ID} '{0}/d/late'",
        account.home().display()
    )));
    let lost = account.shell("cd d/late && lamina unshare true");
    assert_eq!(lost.code, Some(23), "{lost:?}");
    assert!(lost.err.contains("d/late") && lost.err.contains("run this from"), "{lost:?}");
}

#[test]
fn without_a_runtime_directory_podmans_own_choice_is_known() {
    let test = "without_a_runtime_directory_podmans_own_choice_is_known";
    for program in ["podman", "newuidmap", "newgidmap"] {
        let Some(_) = need(test, program) else { return };
    }
    let Some(account) = with_layer(test) else { return };
    let look = "unshare readlink /proc/self/ns/user /proc/self/ns/mnt";
    let podman = account.shell(&format!("unset XDG_RUNTIME_DIR; podman {look}"));
    let chosen = account.home().join(format!("podman-run-{ID}/libpod/tmp/pause.pid"));
    if !chosen.exists() {
        return skip(test, &format!("podman has no pause process there: {}", podman.err.trim()));
    }
    assert_eq!(must(&account.shell(&format!("unset XDG_RUNTIME_DIR; lamina {look}"))), must(&podman));
    assert_ne!(must(&account.shell(&format!("lamina {look}"))), must(&podman), "the one that is named counts alone");
}

#[test]
fn without_the_pause_process_a_mount_is_refused_with_both_remedies() {
    let Some(account) = with_podman("without_the_pause_process_a_mount_is_refused_with_both_remedies") else { return };
    account.end_pause_process();
    let refused = account.shell("lamina --debug -s overlay mount aaa");
    assert_eq!(refused.code, Some(12), "{refused:?}");
    for words in ["pause.pid: process", "is gone", "lamina unshare", "podman unshare"] {
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    assert!(!account.shell("lamina -s overlay mount aaa").err.contains("pause.pid"), "that is for --debug");
    must(
        &account
            .shell("lamina unshare sh -euc 'lamina -s overlay mount aaa; lamina -s overlay unmount --if-mounted aaa'"),
    );
}

#[test]
fn nothing_is_refused_to_a_driver_that_mounts_nothing() {
    let Some(account) = with_layer("nothing_is_refused_to_a_driver_that_mounts_nothing") else { return };
    let path = must(&account.shell(
        "lamina -g \"$HOME/v\" -R \"$HOME/r\" -s vfs create-layer -i bbb >/dev/null
        lamina -g \"$HOME/v\" -R \"$HOME/r\" -s vfs mount bbb",
    ));
    assert!(std::path::Path::new(&path).is_dir(), "{path}");
}

#[test]
fn what_is_no_pause_process_of_the_users_is_not_joined() {
    let Some(account) = with_layer("what_is_no_pause_process_of_the_users_is_not_joined") else { return };
    let said = |words: &str| {
        let ended = account.shell("lamina --debug unshare id -u");
        assert_eq!(must(&ended), "0");
        assert!(ended.err.contains(words), "{words}: {ended:?}");
        let quiet = account.shell("lamina unshare true");
        assert!(quiet.err.is_empty(), "{quiet:?}");
    };
    said("pause.pid: no pause process");
    account.claim("what");
    said("no process number");
    account.claim("0");
    said("no process number");
    account.claim(&std::process::id().to_string());
    // The kernel lets the user look at nothing of a process of root's.
    said("can't be looked at: Permission denied");
    let own = account.shell(
        "echo $$ >run && mkdir -p ../run/libpod/tmp && cp run ../run/libpod/tmp/pause.pid
        lamina --debug unshare id -u",
    );
    assert_eq!(must(&own), "0");
    assert!(own.err.contains("has no user namespace of its own"), "{own:?}");
    std::fs::set_permissions(account.runtime(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("chmod");
    said("can be changed by others");
    std::os::unix::fs::chown(account.runtime(), Some(0), Some(0)).expect("chown");
    said("belongs to user 0");
}

/// A process as in a container: in namespaces of the user's, on a root of its own.
const CONTAINER: &str = "mkdir -p root ../run/libpod/tmp
    unshare -Urm sh -euc 'mount -t tmpfs tmpfs root; mkdir root/usr; mount --rbind /usr root/usr
        for name in bin lib lib64; do [ ! -e /$name ] || ln -s usr/$name root/$name; done
        exec chroot root /usr/bin/sleep 60' & child=$!
    tries=0
    until [ \"$(cat /proc/$child/comm)\" = sleep ]; do
        tries=$((tries + 1)); [ $tries -lt 200 ] || { kill $child; exit 9; }
        sleep 0.05
    done
    echo $child >../run/libpod/tmp/pause.pid
    code=0; lamina --debug unshare id -u || code=$?
    kill $child; exit $code";

#[test]
fn a_container_whose_number_podman_once_had_is_not_joined() {
    let Some(account) = with_layer("a_container_whose_number_podman_once_had_is_not_joined") else { return };
    let ended = account.shell(CONTAINER);
    assert_eq!(must(&ended), "0");
    assert!(ended.err.contains("has another root directory"), "{ended:?}");
}

#[test]
fn helpers_that_fail_leave_one_id() {
    let test = "helpers_that_fail_leave_one_id";
    let Some(_) = need(test, "newuidmap") else { return };
    let Some(account) = with_layer(test) else { return };
    let maps = "lamina --debug unshare cat /proc/self/uid_map /proc/self/gid_map";
    let stub = |name: &str| {
        format!(
            "mkdir -p bin && printf '#!/bin/sh\\necho {name} is broken >&2; exit 1\\n' >bin/{name} && \
        chmod +x bin/{name} && PATH=\"$HOME/bin:$PATH\"\n"
        )
    };
    let alone = |ended: &Ended| must(ended).lines().filter(|line| line.contains(&ID.to_string())).count() == 2;
    for name in ["newgidmap", "newuidmap"] {
        let ended = account.shell(&format!("{}{maps}", stub(name)));
        assert!(alone(&ended), "{ended:?}");
        assert!(ended.err.contains(&format!("{name} is broken; only the user's own id")), "{ended:?}");
    }
    account.write_etc("subuid", "");
    let none = account.shell(maps);
    assert!(alone(&none) && !none.out.contains(RANGE), "{none:?}");
    assert!(none.err.contains("/etc/subuid has no range"), "{none:?}");
}

#[test]
fn a_machine_without_user_namespaces_says_so() {
    let Some(account) = with_layer("a_machine_without_user_namespaces_says_so") else { return };
    // The limit of a namespace of root's, in which ids are as outside: the machine's own limit isn't touched.
    let limited = account.as_root(&format!(
        "cd '{home}'
        unshare -U sleep 60 & child=$!
        tries=0
        while [ \"$(readlink /proc/$child/ns/user)\" = \"$(readlink /proc/self/ns/user)\" ]; do
            tries=$((tries + 1)); [ $tries -lt 200 ] || {{ kill $child; exit 9; }}
            sleep 0.05
        done
        echo '0 0 65536' >/proc/$child/uid_map; echo '0 0 65536' >/proc/$child/gid_map
        code=0; nsenter -U -t $child sh -euc 'echo 0 >/proc/sys/user/max_user_namespaces
            exec setpriv --reuid={ID} --regid={ID} --clear-groups env HOME=\"$PWD\" ../lamina unshare true' || code=$?
        kill $child; exit $code",
        home = account.home().display()
    ));
    assert_eq!(limited.code, Some(12), "{limited:?}");
    assert!(limited.err.contains("max_user_namespaces"), "{limited:?}");
}
